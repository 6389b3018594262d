"""Other people's inventories, brought in once: read, mapped, judged by the rules, and written as files of config/.

`inventory` is the value in the middle; `checkout` and `published` read it, `mapping` says what becomes of each field,
`silencing` lets the real rules judge the result, `accounting` compares it with its origin, `destination` writes.
"""
