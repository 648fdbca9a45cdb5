#!/usr/bin/env python3
"""Write the facts of AWS's service models to <service>.json beside this file.

    python3 models/extract.py kms sts

Needs botocore, of any version; what is newer than it stands in the overlay file
<service>.overlay.json. Only facts are taken: names, members and their order,
types, constraints, enum values, errors, marks, the protocol. No prose is.
"""

import json
import pathlib
import sys

import botocore.session

HERE = pathlib.Path(__file__).parent

# botocore's names of the models that have another one here: that of the service's
# permissions. Its "cloudhsm" is CloudHSM Classic.
NAMES = {"cloudhsm": "cloudhsmv2"}


def shape(s):
    out = {"type": s["type"]}
    if s["type"] == "structure":
        required = s.get("required", [])
        out["members"] = [member(n, m, n in required) for n, m in s["members"].items()]
    if s["type"] == "list":
        out["member"] = s["member"]["shape"]
    if s["type"] == "map":
        out["key"], out["value"] = s["key"]["shape"], s["value"]["shape"]
    for fact in ("min", "max", "pattern", "enum", "sensitive", "flattened"):
        if fact in s:
            out[fact] = s[fact]
    if s.get("exception"):
        error = s.get("error", {})
        out["error"] = {"fault": "server" if s.get("fault") else "client"}
        if "code" in error:
            out["error"]["code"] = error["code"]
        if "httpStatusCode" in error:
            out["error"]["status"] = error["httpStatusCode"]
        del out["members"]
    return out


def member(name, m, required):
    out = {"name": name, "shape": m["shape"]}
    if required:
        out["required"] = True
    for fact in ("locationName", "timestampFormat"):
        if fact in m:
            out[fact] = m[fact]
    return out


def operation(o):
    out = {}
    if "input" in o:
        out["input"] = o["input"]["shape"]
    if "output" in o:
        out["output"] = o["output"]["shape"]
        if "resultWrapper" in o["output"]:
            out["resultWrapper"] = o["output"]["resultWrapper"]
    out["errors"] = sorted(e["shape"] for e in o.get("errors", []))
    if o.get("authtype") == "none":
        out["unsigned"] = True
    return out


def reachable(shapes, roots):
    """The shapes that the operations use; the texts of exceptions drop out."""
    seen, todo = set(), list(roots)
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        s = shapes[name]
        todo += [m["shape"] for m in s.get("members", [])]
        todo += [s[k] for k in ("member", "key", "value") if k in s]
    return seen


def extract(service):
    model = botocore.session.get_session().get_component("data_loader").load_service_model(NAMES.get(service, service), "service-2")
    meta = model["metadata"]
    facts = {"signingName": meta.get("signingName", meta["endpointPrefix"])}
    for fact in ("apiVersion", "protocol", "jsonVersion", "targetPrefix", "xmlNamespace"):
        if fact in meta:
            facts[fact] = meta[fact]
    operations = {n: operation(o) for n, o in sorted(model["operations"].items())}
    shapes = {n: shape(s) for n, s in sorted(model["shapes"].items())}
    roots = [o[k] for o in operations.values() for k in ("input", "output") if k in o]
    roots += [e for o in operations.values() for e in o["errors"]]
    used = reachable(shapes, roots)
    return {
        "service": facts,
        "operations": operations,
        "shapes": {n: s for n, s in shapes.items() if n in used},
    }


def dump(model):
    """One operation or shape a line, so that a change of the model reads as a diff."""
    lines = ["{"]
    lines.append('"service": ' + json.dumps(model["service"]) + ",")
    for part in ("operations", "shapes"):
        lines.append('"%s": {' % part)
        entries = [json.dumps(n) + ": " + json.dumps(v) for n, v in model[part].items()]
        lines.append(",\n".join(entries))
        lines.append("}" + ("," if part == "operations" else ""))
    lines.append("}")
    return "\n".join(lines) + "\n"


def main():
    if len(sys.argv) < 2:
        sys.exit("usage: extract.py SERVICE...\n  for example: python3 models/extract.py kms sts")
    for service in sys.argv[1:]:
        (HERE / (service + ".json")).write_text(dump(extract(service)))


if __name__ == "__main__":
    main()
