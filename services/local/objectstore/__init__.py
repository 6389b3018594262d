"""A Cloud Storage server for one machine: the JSON API as the official client speaks it.

It exists because no published emulator honours preconditions on every verb, nor IAM, retention and versioning,
and those are what bucket reconcilers and the embargo rest on. It is a test and demo part: never run it in production.

Promises: an acknowledged write survives kill -9 and is seen whole or not at all; conditional writes have one winner;
lifecycle rules, retention and holds are carried out.
Left out, on purpose: object ACLs, soft-deleted objects (the policy is stored), customer keys, HMAC keys, XML uploads,
enforcement of IAM against identities (see `app`). Partial responses (`fields=`) answer with the whole resource.

Format: https://cloud.google.com/storage/docs/json_api/v1
"""
