"""A second implementation of what an auditor checks, written from the specifications alone.

RFC 6962 section 2.1 and RFC 9162 section 2.1 (tree, proofs), RFC 8032 (Ed25519), C2SP signed-note, tlog-checkpoint,
tlog-cosignature, tlog-tiles and tlog-proof. Nothing of the verifier's code is used, and nothing but Python's standard
library. Each command prints one line of JSON and ends with 0, or says what is wrong and ends with 1.

  tlog.py note FILE VKEY...              a signed note: which of the keys signed it
  tlog.py proof FILE LEAF VKEY           a tlog-proof of a leaf
  tlog.py consistency OLD NEW HASHES VKEY  two checkpoints, and the hashes between them (base64, one a line)
  tlog.py tree DIRECTORY VKEY            a whole log as tiles and entry bundles
"""

import base64
import hashlib
import json
import os
import struct
import sys

# Ed25519 (RFC 8032, section 5.1), in extended coordinates.
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
I = pow(2, (P - 1) // 4, P)


def wrong(reason):
    raise ValueError(reason)


def add(a, b):
    (x1, y1, z1, t1), (x2, y2, z2, t2) = a, b
    e = ((y1 + x1) * (y2 + x2) - (y1 - x1) * (y2 - x2)) % P
    f = (2 * z1 * z2 - 2 * D * t1 * t2) % P
    g = (2 * z1 * z2 + 2 * D * t1 * t2) % P
    h = ((y1 + x1) * (y2 + x2) + (y1 - x1) * (y2 - x2)) % P
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def times(n, point):
    result = (0, 1, 1, 0)
    while n:
        if n & 1:
            result = add(result, point)
        point = add(point, point)
        n >>= 1
    return result


def decode_point(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    if y >= P:
        wrong("not a point of the curve")
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * I % P
    if (x * x - square) % P or (x == 0 and sign):
        wrong("not a point of the curve")
    if x & 1 != sign:
        x = P - x
    return (x, y, 1, x * y % P)


BASE = decode_point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def same(a, b):
    return (a[0] * b[2] - b[0] * a[2]) % P == 0 and (a[1] * b[2] - b[1] * a[2]) % P == 0


def ed25519(public, message, signature):
    if len(signature) != 64:
        return False
    r, s = signature[:32], int.from_bytes(signature[32:], "little")
    if s >= L:
        return False
    k = int.from_bytes(hashlib.sha512(r + public + message).digest(), "little") % L
    return same(times(s, BASE), add(decode_point(r), times(k, decode_point(public))))


# Signed notes (C2SP signed-note) and cosignatures (C2SP tlog-cosignature).
def read_vkey(text):
    name, key_id, material = text.split("+", 2)
    raw = base64.b64decode(material, validate=True)
    kind, public = raw[0], raw[1:]
    digest = hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4]
    if digest.hex() != key_id or len(public) != 32 or kind not in (1, 4):
        wrong("not a vkey: " + text)
    return name, digest, kind, public


def open_note(data, vkeys):
    """The note's text and the names of those of the keys that signed it; a wrong signature of one of them is an error."""
    split = data.rfind(b"\n\n")
    if split < 0 or not data.endswith(b"\n"):
        wrong("not a signed note")
    text = data[: split + 1]
    signed = []
    for line in data[split + 2 : -1].decode().split("\n"):
        dash, name, encoded = line.split(" ")
        raw = base64.b64decode(encoded, validate=True)
        if dash != "\u2014":
            wrong("not a signature line")
        for key_name, key_id, kind, public in vkeys:
            if (name, raw[:4]) != (key_name, key_id):
                continue
            message, signature = text, raw[4:]
            if kind == 4:
                (time,) = struct.unpack(">Q", raw[4:12])
                message, signature = b"cosignature/v1\ntime %d\n" % time + text, raw[12:]
            if not ed25519(public, message, signature):
                wrong("a wrong signature of " + name)
            signed.append(name)
    return text, signed


def checkpoint(data, vkey):
    text, signed = open_note(data, [vkey])
    if not signed:
        wrong("not signed by the log")
    lines = text.decode().split("\n")
    if len(lines) != 4 or lines[0] != vkey[0] or str(int(lines[1])) != lines[1]:
        wrong("not a checkpoint of this log")
    root = base64.b64decode(lines[2], validate=True)
    if len(root) != 32:
        wrong("the root is not a hash")
    return int(lines[1]), root


# The tree (RFC 6962, section 2.1).
def sha256(data):
    return hashlib.sha256(data).digest()


def leaf_hash(entry):
    return sha256(b"\0" + entry)


def node_hash(left, right):
    return sha256(b"\1" + left + right)


def tree_hash(hashes):
    """MTH of a list of leaf hashes, by the definition."""
    if not hashes:
        return sha256(b"")
    if len(hashes) == 1:
        return hashes[0]
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    return node_hash(tree_hash(hashes[:k]), tree_hash(hashes[k:]))


def inclusion_root(index, size, leaf, proof):
    """RFC 9162, section 2.1.3.2."""
    if index >= size:
        wrong("no such entry")
    fn, sn, r = index, size - 1, leaf
    for p in proof:
        if sn == 0:
            wrong("the proof is too long")
        if fn & 1 or fn == sn:
            r = node_hash(p, r)
            while fn & 1 == 0 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node_hash(r, p)
        fn, sn = fn >> 1, sn >> 1
    if sn != 0:
        wrong("the proof is too short")
    return r


def consistent(old_size, old_root, size, root, proof):
    """RFC 9162, section 2.1.4.2."""
    if old_size == size:
        return proof == [] and old_root == root
    if not 0 < old_size < size or not proof:
        return False
    if old_size & (old_size - 1) == 0:
        proof = [old_root] + proof
    fn, sn = old_size - 1, size - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = proof[0]
    for c in proof[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = node_hash(c, fr), node_hash(c, sr)
            while fn & 1 == 0 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node_hash(sr, c)
        fn, sn = fn >> 1, sn >> 1
    return fr == old_root and sr == root and sn == 0


# Commands.
def read(path):
    with open(path, "rb") as file:
        return file.read()


def note_command(path, *keys):
    _, signed = open_note(read(path), [read_vkey(key) for key in keys])
    return {"signed": signed}


def proof_command(path, leaf_path, key):
    head, _, signed = read(path).partition(b"\n\n")
    lines = head.decode().split("\n")
    if lines[0] != "c2sp.org/tlog-proof@v1":
        wrong("not a tlog-proof")
    lines = [line for line in lines[1:] if not line.startswith("extra ")]
    if not lines[0].startswith("index "):
        wrong("no index")
    index = int(lines[0][6:])
    proof = [base64.b64decode(line, validate=True) for line in lines[1:]]
    size, root = checkpoint(signed, read_vkey(key))
    if inclusion_root(index, size, leaf_hash(read(leaf_path)), proof) != root:
        wrong("the proof leads to another root")
    return {"index": index, "size": size}


def consistency_command(old_path, new_path, hashes_path, key):
    vkey = read_vkey(key)
    old_size, old_root = checkpoint(read(old_path), vkey)
    size, root = checkpoint(read(new_path), vkey)
    proof = [base64.b64decode(line, validate=True) for line in read(hashes_path).decode().split()]
    if not consistent(old_size, old_root, size, root, proof):
        wrong("the log did not only grow")
    return {"from": old_size, "to": size}


def index_path(n):
    digits = str(n)
    digits = digits.zfill((len(digits) + 2) // 3 * 3)
    groups = [digits[i : i + 3] for i in range(0, len(digits), 3)]
    return "/".join(["x" + group for group in groups[:-1]] + groups[-1:])


def part(directory, name, n, width):
    path = os.path.join(directory, "tile", name, index_path(n))
    return read(path if width == 256 else "%s.p/%d" % (path, width))


def tree_command(directory, key):
    size, root = checkpoint(read(os.path.join(directory, "checkpoint")), read_vkey(key))
    hashes = []
    for n in range((size + 255) // 256):
        width = min(256, size - n * 256)
        data, at, entries = part(directory, "entries", n, width), 0, 0
        while at < len(data):
            (length,) = struct.unpack(">H", data[at : at + 2])
            entry = data[at + 2 : at + 2 + length]
            if len(entry) != length or json.loads(entry)["index"] != str(n * 256 + entries):
                wrong("an entry that is not in its place")
            hashes.append(leaf_hash(entry))
            at, entries = at + 2 + length, entries + 1
        if entries != width:
            wrong("a bundle with another number of entries")
    if tree_hash(hashes) != root:
        wrong("the entries lead to another root")
    tiles, level, row = 0, 0, hashes
    while row:
        for n in range((len(row) + 255) // 256):
            mine = row[n * 256 : (n + 1) * 256]
            if part(directory, str(level), n, len(mine)) != b"".join(mine):
                wrong("a tile that is not that of the entries")
            tiles += 1
        full = len(row) // 256
        row, level = [tree_hash(row[n * 256 : (n + 1) * 256]) for n in range(full)], level + 1
    return {"size": size, "tiles": tiles}


COMMANDS = {
    "note": note_command,
    "proof": proof_command,
    "consistency": consistency_command,
    "tree": tree_command,
}

if __name__ == "__main__":
    try:
        print(json.dumps(COMMANDS[sys.argv[1]](*sys.argv[2:])))
    except (ValueError, KeyError, OSError, struct.error) as error:
        print("wrong: %s" % error, file=sys.stderr)
        sys.exit(1)
