# SPDX-License-Identifier: BSD-2-Clause
"""Things to compute whose results do not depend on the machine. One line each: name, sum."""
import sys


def run():
    import hashlib

    sys.set_int_max_str_digits(0)

    def show(name, value):
        print(name, hashlib.sha256(repr(value).encode()).hexdigest()[:32], flush=True)

    import binascii, bisect, cmath, decimal, fractions, functools, heapq, itertools, json, math
    import random, re, statistics, string, struct, threading, zlib, array, operator, textwrap

    r = random.Random(42)
    show("mersenne", [r.getrandbits(64) for _ in range(20000)])
    show("gauss", [r.gauss(0, 1) for _ in range(20000)])
    show("shuffle", r.sample(range(100000), 5000))
    decimal.getcontext().prec = 800
    show("decimal", [decimal.Decimal(n).sqrt() for n in range(2, 60)] + [decimal.Decimal(1).exp()])
    a, b, t, p = (decimal.Decimal(1), 1 / decimal.Decimal(2).sqrt(), decimal.Decimal("0.25"), 1)
    for _ in range(11):
        a, b, t, p, old = (a + b) / 2, (a * b).sqrt(), t, 2 * p, a
        t -= p // 2 * (old - a) ** 2
    show("pi", (a + b) ** 2 / (4 * t))
    show("bigint", [pow(3, 5000), pow(7, 12345, 2 ** 521 - 1), math.factorial(2000), math.isqrt(10 ** 999)])
    show("divmod", [divmod(r.getrandbits(700), r.getrandbits(300) | 1) for _ in range(2000)])
    show("fractions", sum(fractions.Fraction(1, n) for n in range(1, 600)))
    show("floats", [math.sin(x) * math.exp(-x / 1e4) + math.gamma(1 + x % 20) + math.atan2(x, 3)
                    + math.log1p(x) + math.erf(x / 9) for x in range(30000)])
    show("hex floats", [(x / 7 * 1e-300).hex() for x in range(5000)])
    show("float text", [float("%.17g" % (x ** 2.5 / 3)) for x in range(20000)])
    show("denormal", [x * 5e-324 / 3 for x in range(1, 3000)])
    show("complex", [cmath.exp(complex(x, -x) / 100) ** 1.5 for x in range(2000)])
    show("fsum", math.fsum(1 / x for x in range(1, 200000)))
    show("statistics", [statistics.stdev(range(1000)), statistics.median(r.random() for _ in range(999))])
    data = bytes(r.getrandbits(8) for _ in range(200000))
    for h in ("md5", "sha1", "sha256", "sha512", "sha3_256", "blake2b", "blake2s"):
        show(h, hashlib.new(h, data).hexdigest())
    show("pbkdf2", hashlib.pbkdf2_hmac("sha256", b"words", b"pepper", 2000))
    for level in (1, 6, 9):
        packed = zlib.compress(data[:100000] + data[:50000], level)
        assert zlib.decompress(packed) == data[:100000] + data[:50000]
        show("zlib-%d" % level, packed)
    show("crc", [zlib.crc32(data), zlib.adler32(data), binascii.crc_hqx(data, 0)])
    show("struct", struct.pack("<1000d", *(r.random() for _ in range(1000))) + struct.pack(">500f", *range(500)))
    show("array", array.array("d", (r.random() for _ in range(50000))).tobytes())
    text = " ".join(textwrap.fill(str(n * 7919), 3) + string.ascii_letters[n % 52] * (n % 9) for n in range(20000))
    show("regex", [re.findall(r"(?:\d+[a-f]+)+", text), re.sub(r"(\w)(\d)", r"\2\1", text)[:5000]])
    show("json", json.loads(json.dumps({str(n): [n / 3, {"x": "\u20ac" * (n % 5)}] for n in range(5000)})))
    show("sort", sorted((r.random() for _ in range(100000)))[::997])
    show("heap", heapq.nsmallest(1000, (r.getrandbits(40) for _ in range(100000))))
    show("permutations", functools.reduce(operator.xor, (hash(p) for p in itertools.permutations(range(8)))))
    sieve = bytearray([1]) * 1000000
    for n in range(2, 1000):
        if sieve[n]:
            sieve[n * n::n] = bytes(len(range(n * n, 1000000, n)))
    show("sieve", sum(sieve))
    board = [0] * 8

    def queens(row):
        if row == 8:
            return 1
        n = 0
        for col in range(8):
            if all(board[k] != col and abs(board[k] - col) != row - k for k in range(row)):
                board[row] = col
                n += queens(row + 1)
        return n

    show("queens", queens(0))
    total = []
    lock = threading.Lock()

    def work(n):
        s = sum(i * i % (n + 2) for i in range(20000))
        with lock:
            total.append((n, s))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    show("threads", sorted(total))
    show("closures", [(lambda k: lambda x: x ** k)(n)(3) for n in range(200)])
    show("exceptions", sum(1 for n in range(50000) if not ok(n)))
    show("unicode", "".join(chr(0x3b1 + n % 24) for n in range(10000)).upper().encode("utf-16"))
    print("last", "0")


def ok(n):
    try:
        return 1 // (n % 3)
    except ZeroDivisionError:
        return 0


if len(sys.argv) > 1:
    import io, contextlib

    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        run()
    print(out.getvalue().splitlines()[-1])
else:
    run()
