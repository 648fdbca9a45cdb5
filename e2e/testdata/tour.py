"""The tour of a KMS with boto3.

    tour.py tour NOTES            use everything, and note what must outlive a restart
    tour.py after-restart NOTES   look for it

The endpoint, the region and the credentials come from the environment, as they
do for every program that uses boto3.
"""

import json
import sys
from base64 import b64decode, b64encode

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

REGION = "us-east-1"
OTHER_REGION = "eu-central-1"
ACCOUNT = "000000000000"
NO_RETRIES = Config(retries={"total_max_attempts": 1})


def client(service="kms", region=REGION):
    return boto3.client(service, region_name=region, config=NO_RETRIES)


def fails(code, call, message=None, **arguments):
    """The call must be refused with that code and, if given, that message."""
    try:
        call(**arguments)
    except ClientError as error:
        got = error.response["Error"]
        assert got["Code"] == code, f"{got}, want {code}"
        assert message is None or got.get("Message") == message, f"{got}, want {message!r}"
        assert error.response["ResponseMetadata"]["RequestId"], "no request id"
    else:
        raise AssertionError(f"{call.__name__} succeeds, want {code}")


def cryptography(kms, key):
    context = {"tenant": "a", "purpose": "tour"}
    sealed = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"attack at dawn", EncryptionContext=context)
    assert sealed["KeyId"] == key["Arn"], sealed
    assert sealed["EncryptionAlgorithm"] == "SYMMETRIC_DEFAULT", sealed
    blob = sealed["CiphertextBlob"]
    opened = kms.decrypt(CiphertextBlob=blob, EncryptionContext=dict(reversed(context.items())))
    assert opened["Plaintext"] == b"attack at dawn" and opened["KeyId"] == key["Arn"], opened
    fails("InvalidCiphertextException", kms.decrypt, CiphertextBlob=blob)
    fails("InvalidCiphertextException", kms.decrypt, CiphertextBlob=blob, EncryptionContext={"Tenant": "a", "purpose": "tour"})
    fails(
        "ValidationException",
        kms.encrypt,
        "1 validation error detected: Value at 'plaintext' failed to satisfy constraint: "
        "Member must have length less than or equal to 4096",
        KeyId=key["KeyId"],
        Plaintext=bytes(4097),
    )
    # A context beyond ASCII, and bytes of every value.
    odd = {"ключ": "значение \U0001f511", "quote\"\\": "\n\t"}
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=bytes(range(256)), EncryptionContext=odd)["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob, EncryptionContext=odd)["Plaintext"] == bytes(range(256))

    for arguments, length in (({"KeySpec": "AES_256"}, 32), ({"KeySpec": "AES_128"}, 16), ({"NumberOfBytes": 100}, 100)):
        data_key = kms.generate_data_key(KeyId=key["KeyId"], **arguments)
        assert len(data_key["Plaintext"]) == length, arguments
        assert kms.decrypt(CiphertextBlob=data_key["CiphertextBlob"])["Plaintext"] == data_key["Plaintext"]
        bare = kms.generate_data_key_without_plaintext(KeyId=key["KeyId"], **arguments)
        assert "Plaintext" not in bare
        assert len(kms.decrypt(CiphertextBlob=bare["CiphertextBlob"])["Plaintext"]) == length
    assert len(kms.generate_random(NumberOfBytes=1024)["Plaintext"]) == 1024


def aliases(kms, key):
    second = kms.create_key()["KeyMetadata"]
    kms.create_alias(AliasName="alias/tour", TargetKeyId=key["KeyId"])
    fails(
        "AlreadyExistsException",
        kms.create_alias,
        f"An alias with the name arn:aws:kms:{REGION}:{ACCOUNT}:alias/tour already exists",
        AliasName="alias/tour",
        TargetKeyId=key["KeyId"],
    )
    before = kms.encrypt(KeyId="alias/tour", Plaintext=b"before")["CiphertextBlob"]
    kms.update_alias(AliasName="alias/tour", TargetKeyId=second["KeyId"])
    after = kms.encrypt(KeyId="alias/tour", Plaintext=b"after")
    assert after["KeyId"] == second["Arn"], after
    assert kms.decrypt(CiphertextBlob=before)["Plaintext"] == b"before"
    moved = kms.re_encrypt(CiphertextBlob=before, DestinationKeyId="alias/tour")
    assert (moved["SourceKeyId"], moved["KeyId"]) == (key["Arn"], second["Arn"]), moved
    names = [a["AliasName"] for page in kms.get_paginator("list_aliases").paginate() for a in page["Aliases"]]
    assert names.count("alias/tour") == 1, names
    kms.delete_alias(AliasName="alias/tour")
    fails("NotFoundException", kms.delete_alias, f"Alias arn:aws:kms:{REGION}:{ACCOUNT}:alias/tour is not found.", AliasName="alias/tour")


def states(kms):
    key = kms.create_key(Description="for a while")["KeyMetadata"]
    name = {"KeyId": key["KeyId"]}
    kms.disable_key(**name)
    fails("DisabledException", kms.generate_data_key, key["Arn"] + " is disabled.", KeySpec="AES_256", **name)
    kms.enable_key(**name)
    scheduled = kms.schedule_key_deletion(PendingWindowInDays=10, **name)
    assert scheduled["KeyState"] == "PendingDeletion" and scheduled["PendingWindowInDays"] == 10, scheduled
    days = (scheduled["DeletionDate"] - key["CreationDate"]).total_seconds() / 86400
    assert 9.99 < days < 10.01, scheduled
    fails("KMSInvalidStateException", kms.encrypt, key["Arn"] + " is pending deletion.", Plaintext=b"x", **name)
    assert kms.cancel_key_deletion(**name)["KeyId"] == key["Arn"]
    described = kms.describe_key(**name)["KeyMetadata"]
    assert described["KeyState"] == "Disabled" and "DeletionDate" not in described, described


def policies_and_tags(kms, key):
    policy = kms.get_key_policy(KeyId=key["KeyId"], PolicyName="default")["Policy"]
    assert policy.startswith('{\n  "Version" : "2012-10-17",\n  "Id" : "key-default-1",\n'), policy
    statement = json.loads(policy)["Statement"][0]
    assert statement["Principal"] == {"AWS": f"arn:aws:iam::{ACCOUNT}:root"} and statement["Action"] == "kms:*", policy
    assert kms.list_key_policies(KeyId=key["KeyId"])["PolicyNames"] == ["default"]
    statement["Action"] = "kms:Encrypt"
    locking = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    fails(
        "MalformedPolicyDocumentException",
        kms.put_key_policy,
        "The new key policy will not allow you to update the key policy in the future.",
        KeyId=key["KeyId"],
        PolicyName="default",
        Policy=locking,
    )
    kms.put_key_policy(KeyId=key["KeyId"], PolicyName="default", Policy=policy)

    kms.tag_resource(KeyId=key["KeyId"], Tags=[{"TagKey": f"tag-{i:02}", "TagValue": "x" * 256} for i in range(40)])
    pages = list(kms.get_paginator("list_resource_tags").paginate(KeyId=key["KeyId"], PaginationConfig={"PageSize": 15}))
    assert [len(page["Tags"]) for page in pages] == [15, 15, 10], [len(page["Tags"]) for page in pages]
    kms.untag_resource(KeyId=key["KeyId"], TagKeys=[f"tag-{i:02}" for i in range(40)])
    assert kms.list_resource_tags(KeyId=key["KeyId"])["Tags"] == []
    fails(
        "TagException",
        kms.tag_resource,
        "Tags beginning with aws: are reserved",
        KeyId=key["KeyId"],
        Tags=[{"TagKey": "aws:x", "TagValue": ""}],
    )


def regions(key):
    there = client(region=OTHER_REGION)
    assert there.list_keys()["Keys"] == []
    fails("NotFoundException", there.describe_key, f"Invalid arn {REGION}", KeyId=key["Arn"])
    made = there.create_key()["KeyMetadata"]
    assert made["Arn"] == f"arn:aws:kms:{OTHER_REGION}:{ACCOUNT}:key/{made['KeyId']}", made
    fails(
        "InvalidSignatureException",
        client(region="sa-east-1").list_keys,
        "Credential should be scoped to a valid region.",
    )


def tour(notes):
    kms = client()
    assert client("sts").get_caller_identity()["Arn"] == f"arn:aws:iam::{ACCOUNT}:root"
    key = kms.create_key(Description="tour")["KeyMetadata"]
    assert key["Enabled"] and key["KeyState"] == "Enabled" and key["MultiRegion"] is False, key
    cryptography(kms, key)
    aliases(kms, key)
    states(kms)
    policies_and_tags(kms, key)
    regions(key)
    listed = [k["KeyId"] for page in kms.get_paginator("list_keys").paginate(PaginationConfig={"PageSize": 1}) for k in page["Keys"]]
    assert len(listed) == len(set(listed)) == 3, listed
    kms.update_key_description(KeyId=key["KeyId"], Description="kept")
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"kept")["CiphertextBlob"]
    with open(notes, "w") as file:
        json.dump({"key": key["KeyId"], "blob": b64encode(blob).decode()}, file)


def after_restart(notes):
    with open(notes) as file:
        noted = json.load(file)
    kms = client()
    assert kms.describe_key(KeyId=noted["key"])["KeyMetadata"]["Description"] == "kept"
    assert kms.decrypt(CiphertextBlob=b64decode(noted["blob"]))["Plaintext"] == b"kept"


if __name__ == "__main__":
    {"tour": tour, "after-restart": after_restart}[sys.argv[1]](sys.argv[2])
