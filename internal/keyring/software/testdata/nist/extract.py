"""Makes vectors.json.gz from NIST's ACVP files.

    python3 extract.py DIR > vectors.json.gz

DIR holds the folders ML-DSA-sigVer-FIPS204, ML-DSA-keyGen-FIPS204 and
ML-KEM-keyGen-FIPS203 of https://github.com/usnistgov/ACVP-Server, under
gen-val/json-files at commit f38183487eebff2952da0e5a3441371218acfe3f, with prompt
and expectedResults gzipped. All signatures are taken, of generated keys the first
five of each parameter set.
"""
import gzip
import json
import sys


def groups(name):
    def load(which):
        with gzip.open(f"{sys.argv[1]}/{name}/{which}.json.gz") as f:
            return json.load(f)["testGroups"]

    for prompt, results in zip(load("prompt"), load("expectedResults")):
        assert prompt["tgId"] == results["tgId"]
        tests = list(zip(prompt["tests"], results["tests"]))
        assert all(a["tcId"] == b["tcId"] for a, b in tests)
        yield prompt, tests


out = {"signatures": [], "keys": []}
for group, tests in groups("ML-DSA-sigVer-FIPS204"):
    out["signatures"].append({
        "set": group["parameterSet"],
        "pk": group["pk"],
        "tests": [{"message": a["message"], "signature": a["signature"], "valid": b["testPassed"]} for a, b in tests],
    })
for group, tests in groups("ML-DSA-keyGen-FIPS204"):
    for a, b in tests[:5]:
        out["keys"].append({"set": group["parameterSet"], "seed": a["seed"], "public": b["pk"]})
for group, tests in groups("ML-KEM-keyGen-FIPS203"):
    for a, b in tests[:5]:
        out["keys"].append({"set": group["parameterSet"], "seed": a["d"] + a["z"], "public": b["ek"]})
sys.stdout.buffer.write(gzip.compress(json.dumps(out).encode(), mtime=0))
