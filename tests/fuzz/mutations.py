"""What strangers, editors and disks do to files: values swapped, keys lost and doubled, bytes flipped and cut."""

import copy
import json
import random
import reprlib
from typing import Any

VALUES: tuple[Any, ...] = (
    0, 1, -1, 2, 3, 7, 255, 65536, 2**31, 2**63, 2**64, 10**30, 10**400, 0.0, -0.0, 1e-300, 1e-30, 1e-12, 1e-6, 1e-3,
    0.5, 1e3, 1e6, 1e12, 1e300, -1e300, 5e-324, float("inf"), float("nan"), True, False, "", " ", "x", "1", "10u",
    "1e999999999", "nan", "1 furlong", "m", "x" * 5000, "a\nb", "\x00", "\u2028", "\ud800", "../../etc/passwd",
    "library:none.cir",
    "package:numpy/none", [], [[]], {}, [1, 2], [[1], [1, 2]], ["x"], {"a": 1}, [{}], None,
)  # fmt: skip
"""Values that stand anywhere; None is left out of TOML, which knows none."""


def places(document: Any, way: tuple[Any, ...] = (), most: int = 6) -> list[tuple[Any, ...]]:
    """All ways to a value; of long lists the first, the last and some between."""
    found = [way] if way else []
    if len(way) > 50:
        return found
    if isinstance(document, dict):
        items: Any = document.items()
    elif isinstance(document, list):
        step = max(1, len(document) // most)
        items = [(k, document[k]) for k in sorted({*range(0, len(document), step), len(document) - 1} - {-1})]
    else:
        return found
    for key, value in items:
        found += places(value, (*way, key), most)
    return found


def is_number(value: Any) -> bool:
    """Whether it can be multiplied; integers beyond all doubles cannot."""
    return isinstance(value, float) or (type(value) is int and abs(value) < 2**1000)


def mutate(document: Any, rng: random.Random) -> str:
    """Change one place of a document; returns what was done."""
    way = rng.choice(places(document))
    parent = document
    for key in way[:-1]:
        parent = parent[key]
    key, name = way[-1], ".".join(map(str, way))
    value = parent[key]
    match rng.randrange(9):
        case 0:
            del parent[key]
            return f"delete {name}"
        case 1 if isinstance(value, list) and value:
            k = rng.randrange(len(value))
            rng.choice([value.reverse, value.clear, value.pop, lambda: value.append(value[k])])()
            return f"change the length or order of {name}"
        case 1 | 2 if is_number(value):
            parent[key] = rng.choice(
                [value * 2, -value, value * 1e6, value * 1e-6, value + 1, value * 1e150, 0 * value]
            )
        case 3:
            other = rng.choice(places(document))
            source = document
            for step in other:
                source = source[step]
            parent[key] = json.loads(json.dumps(source))
        case 4 if isinstance(parent, dict):
            parent[rng.choice(["x", "", str(key).upper(), f"{key} ", "schema_version", "name"])] = value
            return f"copy {name}"
        case 5:
            for _ in range(rng.choice([1, 2, 40, 200])):  # four times that can be written as JSON
                value = [value]
            parent[key] = value
        case 6:
            parent[key] = {"a": value}
        case _:
            parent[key] = copy.deepcopy(rng.choice(VALUES))  # later mutations may change it
    return f"{name} = {reprlib.repr(parent[key])[:60]}"  # of any depth


def spoil(data: bytes, rng: random.Random) -> tuple[bytes, str]:
    """Change bytes of a file; returns them and what was done."""
    if not data:
        return b"\x00", "one zero byte"
    place = rng.randrange(len(data))
    match rng.randrange(10):
        case 0:
            return data[:place], f"cut at byte {place}"
        case 1:
            length = rng.randrange(1, 1 + min(200, len(data)))
            return data[:place] + data[place + length :], f"{length} bytes lost at {place}"
        case 2:
            length = rng.randrange(1, 1 + min(200, len(data)))
            return data[: place + length] + data[place:], f"{length} bytes doubled at {place}"
        case 3:
            many = rng.choice([b"[", b"{", b'{"a":', b"[[", b"(", b"a.", b'"', b"#", b"\n", b"0"]) * rng.choice(
                [50, 200_000]
            )
            return data[:place] + many + data[place:], f"{len(many)} bytes {many[:5]!r} at {place}"
        case 4:
            word = rng.choice(
                [b"\xff\xfe", b"\xef\xbb\xbf", b"\x00", b"NaN", b"1e999", b"-", b"\r", b'"""', b"=", b","]
            )
            place = rng.choice([0, place, len(data)])
            return data[:place] + word + data[place:], f"{word!r} at {place}"
        case _:
            flipped = bytearray(data)
            for _ in range(rng.choice([1, 1, 1, 2, 20])):
                flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
            return bytes(flipped), "some bits flipped"
