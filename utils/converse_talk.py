"""What utils/converse says: connections' steps, drawn from a seed."""

import hashlib
import random
import re

from resp import encode

CONNECTIONS = 5

# Commands with their weights. [a|b] is one of both, {l} a list's key and so on (see WORDS).

BLOCKING = """
5 BLPOP [{l}|{l} {l}|{k} {l}] [0|1000] ; 4 BRPOP [{l}|{l} {l}] [0|1000] ; 3 BLMOVE {l} {l} [LEFT|RIGHT] [LEFT|RIGHT] 0 ;
2 BRPOPLPUSH {l} {l} 0 ; 3 BLMPOP 0 [1 {l}|2 {l} {l}] [LEFT|RIGHT] [|COUNT 2] ; 3 BZPOPMIN [{z}|{z} {z}] 0 ;
2 BZPOPMAX [{z}|{z} {z}] [0|1000] ; 3 BZMPOP 0 [1 {z}|2 {z} {z}] [MIN|MAX] [|COUNT 2] ;
4 XREAD [|COUNT 1] BLOCK 0 STREAMS [{x} $|{x} {x} $ 0|{x} {sid}|{x} {x} {sid} $|{x} +] ;
5 XREADGROUP GROUP {g} [ann|ben] [|COUNT 1] BLOCK 0 [|NOACK] STREAMS [{x} >|{x} {x} > >|{x} 0] ; 1 WAIT [0|1] [0|100000] ;
1 WAITAOF [0|1] [0|1] [0|100000] ; 1 BLPOP {l} [-1|x|0.0] ; 1 BLMPOP 0 0 {l} LEFT
"""

WAKING = """
8 RPUSH {l} [a|a b|a b c] ; 4 LPUSH {l} [a|b c] ; 2 LMOVE {l} {l} LEFT RIGHT ; 1 RPOPLPUSH {l} {l} ; 1 LPOP {l} [|2] ;
1 LMPOP 2 {l} {l} LEFT COUNT 3 ; 1 LINSERT {l} BEFORE a z ; 1 LREM {l} 0 a ; 1 LTRIM {l} 1 0 ;
2 SORT {l} ALPHA [|STORE {l}|STORE {k}] ; 3 RENAME {k} {k} ; 1 RENAMENX {k} {k} ;
3 COPY {k} {k} [|REPLACE|DB 1|DB 1 REPLACE] ; 1 MOVE {k} [0|1] ; 3 RESTORE {k} 0 {dump} [|REPLACE] ; 5 DEL [{k}|{k} {k}] ;
2 UNLINK {k} ; 1 PEXPIREAT {k} 1 ; 1 PEXPIREAT {k} 99999999999999 ; 1 PERSIST {k} ; 2 FLUSHALL [|ASYNC] ; 1 FLUSHDB ;
2 SWAPDB [0 1|1 0|0 2|1 1] ; 6 ZADD {z} [1 a|2 b 3 c|5 d] ; 1 ZADD {z} XX GT CH 9 a ; 2 ZUNIONSTORE [{z}|{k}] 2 {z} {z} ;
1 ZRANGESTORE {z} {z} 0 -1 ; 1 ZINTERSTORE {z} 1 {t} ; 1 GEOADD {z} 1 1 p ;
1 GEOSEARCHSTORE {z} {z} FROMLONLAT 1 1 BYRADIUS 100 km ; 1 ZINCRBY {z} 1 a ; 1 ZMPOP 1 {z} MIN ; 1 ZREM {z} a b ;
2 SUNIONSTORE {k} {t} {t} ; 2 SADD {t} [a|b c] ; 1 SREM {t} a b c ; 5 SET {k} [v|1] [|GET|NX|KEEPTTL|EX 10000] ;
2 APPEND {s} x ; 1 SET {s} {big} ; 1 RPUSH {l} {big} a ; 1 XADD {x} {next} f {big} ; 2 INCR {s} ; 1 GETDEL {s} ;
1 GETEX {s} [PERSIST|EXAT 1] ; 1 MSET {s} 1 {s} 2 ; 1 BITOP OR {k} {s} {s} ; 1 HSET {h} f v ; 1 HPEXPIREAT {h} 1 FIELDS 1 f ;
1 PFMERGE {s} {s} ; 6 XADD {x} {next} f v ; 1 XADD {x} NOMKSTREAM {next} f v ; 1 XADD {x} MAXLEN 1 {next} f v ;
1 XADD {x} {sid} f v ; 1 XDEL {x} {sid} ; 1 XTRIM {x} MAXLEN [0|1] ; 1 XSETID {x} {next} ;
3 XGROUP CREATE {x} {g} [$|0] [|MKSTREAM] ; 2 XGROUP DESTROY {x} {g} ; 1 XGROUP SETID {x} {g} [0|$] ;
1 XGROUP CREATECONSUMER {x} {g} ann ; 1 XGROUP DELCONSUMER {x} {g} ann ; 1 XACK {x} {g} {sid} ; 1 XCLAIM {x} {g} ben 0 {sid} ;
1 XAUTOCLAIM {x} {g} ben 0 0 ; 2 EVAL {writer} 2 {l} {z} a ;
3 EVAL {caller} 1 {k} [{script}|del {k}|get {k}|rpush {l} x|set {k} v|xadd {x} {next} f v|zadd {z} 1 a|flushall] ;
1 EVAL_RO {caller} 1 {k} [get {k}|set {k} v|spublish ch:1 m|publish ch:1 m] ;
1 EVAL {caller} 0 [blpop {l} 0|subscribe ch:1|multi|client id|auth x|wait 1 0|xread block 0 streams {x} $|publish ch:1 m] ;
1 FCALL push 1 {l} v ; 1 FCALL_RO push 1 {l} v
"""

READING = """
4 GET {k} ; 3 LRANGE {l} 0 -1 ; 1 MGET {s} {k} ; 2 TYPE {k} ; 1 EXISTS {k} {k} ; 1 TTL {k} ; 1 ZRANGE {z} 0 -1 [|WITHSCORES] ;
1 XRANGE {x} - + ; 1 XPENDING {x} {g} ; 1 XINFO GROUPS {x} ; 1 HGETALL {h} ; 1 DBSIZE ; 1 OBJECT ENCODING {k} ; 1 TOUCH {k} ;
2 PING [|x] ; 1 ECHO x ; 1 NOSUCH a ; 1 GET ; 1 EVAL {caller} 1 {k} get {k} ; 1 EVAL_RO {caller} 1 {k} get {k} ;
1 XREAD STREAMS {x} 0 ; 1 XINFO CONSUMERS {x} {g} ; 1 SCRIPT [EXISTS {sha}|LOAD {caller}|FLUSH|KILL] ;
1 EVALSHA {sha} 1 {l} rpush {l} a ; 1 [READONLY|READWRITE|ASKING|CLUSTER INFO|CLUSTER KEYSLOT a]
"""

TRANSACTIONS = """
6 MULTI ; 7 EXEC ; 3 DISCARD ; 6 WATCH [{k}|{k} {k}] ; 2 UNWATCH ; 1 EXEC a ; 1 MULTI a ; 1 WATCH
"""

MESSAGES = """
6 SUBSCRIBE [{c}|{c} {c}] ; 3 UNSUBSCRIBE [|{c}|{c} {c}] ; 5 PSUBSCRIBE [{p}|{p} {p}] ; 3 PUNSUBSCRIBE [|{p}] ;
3 SSUBSCRIBE [{c}|{c} {c}] ; 2 SUNSUBSCRIBE [|{c}] ; 8 PUBLISH {c} hello ; 3 SPUBLISH {c} hello ; 1 PUBLISH {c} {big} ;
1 PUBSUB CHANNELS [|ch:*] ; 1 PUBSUB NUMSUB [|{c} {c}] ; 1 PUBSUB NUMPAT ; 1 PUBSUB SHARDCHANNELS ; 1 PUBSUB SHARDNUMSUB {c} ;
1 SUBSCRIBE
"""

TRACKING = """
5 CLIENT TRACKING ON [|REDIRECT {id}] [|NOLOOP] ;
4 CLIENT TRACKING ON [|REDIRECT {id}] BCAST [|PREFIX l|PREFIX x PREFIX s|PREFIX l PREFIX l1] [|NOLOOP] ;
2 CLIENT TRACKING ON [|REDIRECT {id}] [OPTIN|OPTOUT] [|NOLOOP] ;
1 CLIENT TRACKING ON [OPTIN OPTOUT|BCAST OPTIN|PREFIX a|REDIRECT 0|REDIRECT 99999999] ; 3 CLIENT TRACKING OFF ;
3 CLIENT CACHING [YES|NO] ; 1 CLIENT GETREDIR ; 2 CLIENT TRACKINGINFO
"""

CLIENTS = """
3 CLIENT UNBLOCK {id} [|TIMEOUT|ERROR] ; 2 CLIENT REPLY [ON|ON|OFF|SKIP] ; 2 CLIENT REPLY ON ; 1 CLIENT NO-EVICT [ON|OFF] ;
1 CLIENT NO-TOUCH [ON|OFF] ; 1 CLIENT SETNAME [me|you|] ; 1 CLIENT GETNAME ;
1 CLIENT SETINFO [LIB-NAME|LIB-VER] [redis-x|1.2.3] ; 1 CLIENT ID ; 1 CLIENT INFO ;
1 CLIENT LIST [|ID {id} {id}|TYPE normal|TYPE pubsub|ID 99999999] ; 2 CLIENT KILL ID {id} ; 1 CLIENT KILL {addr} ;
1 CLIENT KILL [ADDR {addr}|USER {u}|TYPE pubsub|USER {u} SKIPME no|ID {id} SKIPME no|ID {id} USER {u}] ;
1 CLIENT KILL [MAXAGE 1000000|ADDR 1.2.3.4:5] ;
1 CLIENT KILL TYPE [normal|normal SKIPME no|replica] ; 2 HELLO [2|3|3|2|4|x|] ;
1 HELLO [2|3] [AUTH {u} pw|AUTH {u} bad|SETNAME me|SETNAME me AUTH {u} pw|AUTH default pw] ; 2 RESET ; 2 SELECT [0|0|1|2|99] ;
3 AUTH [{u} pw|{u} pw|default pw|default|pw|{u} bad|nobody pw] ; 1 QUIT ; 1 MONITOR ;
1 CONFIG SET notify-keyspace-events [KEA|KEAm|KEAn|Kl$g|Ext|Egz|KEAmn|] ; 1 COMMAND COUNT x
"""

ACCESS = """
2 ACL SETUSER {u} [-get|+get|-rpush|+rpush|-blpop|+blpop|-multi|+@all] ;
1 ACL SETUSER {u} [-@all|-@blocking|+@blocking|-exec|-publish|-subscribe|+subscribe] ;
3 ACL SETUSER {u} [resetkeys|~l*|%R~*|allkeys|~k*|%R~l*] ;
3 ACL SETUSER {u} [resetchannels|&ch:1|&ch:*|allchannels|resetchannels &ch:1|resetchannels &*@*] ;
1 ACL SETUSER {u} [off|on|nopass|>pw|resetpass|reset|on >pw ~* &* +@all|clearselectors] ;
1 ACL SETUSER {u} [(+@read ~s*)|(+rpush|-@all (+@all ~l*|+client|-client|+client|id -client|list|bogus|%X~a)] ;
1 ACL DELUSER {u} ;
1 ACL DRYRUN {u} [get {k}|rpush {l} a|copy {k} {k}|publish {c} m|nosuch a|get|blpop {l} 0|subscribe {c}|client id] ;
1 ACL LOG [|RESET|2] ; 1 ACL GETUSER {u} ; 1 ACL LIST ; 1 ACL USERS ; 2 ACL WHOAMI ; 1 ACL CAT x
"""

PAUSES = {
    "writes": """
1 CLIENT PAUSE 1000000 WRITE
4 CLIENT UNPAUSE
""",
    "all": """
1 CLIENT PAUSE 20 [|ALL]
1 CLIENT UNPAUSE
""",
    "none": "",
}

# Bytes that are no well-formed request, or one in another form.
RAW = [
    b"PING\r\n", b"PING\n", b"SET s1 'a b'\r\n", b'GET "s1\r\n', b"\r\n", b"\r\n\r\nPING\r\n", b"*0\r\n", b"*-1\r\n",
    b"*0\r\n*1\r\n$4\r\nPING\r\n", b"*1\r\n$4\r\nPING\r\n*1\r\n:4\r\n", b"*x\r\n", b"*1\r\n$x\r\n", b"*1\r\n$-1\r\n",
    b"*2000000\r\n", b"*99999999999\r\n", b"*1\r\nPING\r\n", b"MULTI\r\nSET s1 1\r\n*x\r\n",
    b"SET s1 1\r\n*1\r\n$-5\r\nEXEC\r\n", b"*1\r\n$4\r\nPINGxy*1\r\n$4\r\nPING\r\n",
    b"*1\r\n$4\r\nQUIT\r\n*1\r\n$4\r\nPING\r\n", b"EXEC\r\n", b"MULTI\r\n", b"*1\n$4\r\nPING\r\n", b"*11\r\n",
    b"PING\r\n" * 600, b" PING \r\n", b"*3\r\n$3\r\nSET\r\n$0\r\n\r\n$1\r\nx\r\n",
]  # fmt: skip

FUNCTIONS = (
    b"#!lua name=lib\nredis.register_function('push', function(keys, args) return redis.call('RPUSH', keys[1], args[1]) end)"
)
WRITER = b"redis.call('RPUSH', KEYS[1], ARGV[1]); redis.call('ZADD', KEYS[2], 1, ARGV[1]); return {KEYS[1], ARGV[1]}"
CALLER = b"return redis.call(unpack(ARGV))"
USERS = {b"ann": "on >pw ~* &* +@all", b"bob": "on >pw ~l* ~x* %R~* &ch:1 resetchannels &ch:* +@all -@admin -flushall -client|kill"}


def table(text):
    rows = [line.split(None, 1) for line in re.split(r"\n| ; ", text.replace(" ;\n", "\n").strip())]
    return [line for _, line in rows], [int(weight) for weight, _ in rows]


WAITING = {line.split()[0].encode() for line in table(BLOCKING)[0]}


class Speaker:
    """Draws steps from a seed. A step is (kind, connection, data), of literals alone, among them ("id", n), ("addr", n) of a
    connection and ("big", n) for that many bytes."""

    def __init__(self, seed, payloads, without):
        self.without = re.compile(without)
        self.random = r = random.Random(seed)
        self.payloads = payloads
        self.counter = 10
        self.rest = {}
        self.waits = False
        self.pauses = r.choice(["writes", "all"] + ["none"] * 8)
        self.password = r.random() < 0.15
        shares = {
            BLOCKING: 8,
            WAKING: 14,
            READING: 5,
            TRANSACTIONS: 5,
            MESSAGES: 5,
            TRACKING: 4,
            CLIENTS: 6,
            ACCESS: 3,
            PAUSES[self.pauses]: 2,
        }
        # Each conversation has its own subjects.
        shares = {text: share * r.choice([0, 0.3, 1, 1, 3]) for text, share in shares.items()}
        shares[WAKING] = max(shares[WAKING], 5)
        self.tables = [(table(text), share) for text, share in shares.items() if text and share]

    def word(self, name):
        r = self.random
        if name in "lzxsth" and r.random() < 0.06:
            name = "k"
        if name == "k":
            name = r.choice("llzxxssth")
        if name in "lxs":
            return f"{name}{r.choice('1123')}".encode()
        if name in "zth":
            return f"{name}{r.choice('12')}".encode()
        if name == "next":
            self.counter += 1
            return b"%d-1" % self.counter
        if name in ("id", "addr"):
            return (name, r.randrange(CONNECTIONS))
        return {
            "c": lambda: r.choice(
                [b"ch:1", b"ch:2", b"ch:3", b"__keyspace@0__:l1", b"__keyevent@0__:del", b"__redis__:invalidate"]
            ),
            "p": lambda: r.choice([b"ch:*", b"ch:1", b"*", b"__key*__:*", b"__keyspace@0__:*", b"__keyevent@*__:*"]),
            "g": lambda: r.choice([b"g1", b"g1", b"g2"]),
            "u": lambda: r.choice([b"ann", b"bob"]),
            "sid": lambda: b"%d-1" % r.randint(max(1, self.counter - 4), self.counter + 1),
            "dump": lambda: r.choice(self.payloads),
            "sha": lambda: hashlib.sha1(r.choice([WRITER, CALLER])).hexdigest().encode(),
            "big": lambda: ("big", r.choice([17_000, 40_000, 100_000])),
            "writer": lambda: WRITER,
            "caller": lambda: CALLER,
            "script": lambda: r.choice([b"nosuch", b"get", b"spublish"]),
        }[name]()

    def command(self, line=None):
        r = self.random
        if line is None:
            ((lines, weights),) = r.choices([t for t, _ in self.tables], [share for _, share in self.tables])
            (line,) = r.choices(lines, weights)
            # Redis tells nobody of a command that a pause has delayed; which broadcasts the first is that a client gets who
            # asks for them while others are on their way is up to the server.
            if line == "MONITOR" and self.pauses != "none" or "TRACKING ON" in line and self.waits:
                return self.command()
        said = re.sub(r"\[([^\]]*)\]", lambda match: r.choice(match[1].split("|")), line)
        if self.without.search(said):
            return self.command()
        return [self.word(word[1:-1]) if re.fullmatch(r"\{\w+\}", word) else word.encode() for word in said.split()]

    def start(self):
        """The first steps: who is who."""
        r = self.random
        steps = []
        for number in range(CONNECTIONS):
            if self.password:
                steps.append(("send", number, [[b"AUTH", b"default", b"pw"]]))
            if r.random() < 0.5:
                steps.append(("send", number, [[b"HELLO", b"3"]]))
            if r.random() < 0.25:
                steps.append(("send", number, [[b"AUTH", r.choice([b"ann", b"bob"]), b"pw"]]))
        return steps

    def step(self, closed, blocked):
        """`closed` and `blocked` are the numbers of the connections that are."""
        r = self.random
        number = r.randrange(CONNECTIONS)
        if number in blocked and r.random() < 0.85:
            number = r.randrange(CONNECTIONS)
        self.waits = number in blocked
        if number in closed:
            self.rest.pop(number, None)
            return ("open", number, r.random() < 0.4)
        if number in self.rest:
            return ("raw", number, self.rest.pop(number))
        roll = r.random()
        if roll < 0.01 and number not in blocked and self.pauses == "none":
            line = r.choice(
                [
                    "BLPOP {l} {l} 0.05",
                    "BLMOVE {l} {l} LEFT LEFT 0.05",
                    "BZMPOP 0.05 1 {z} MIN",
                    "WAIT 1 50",
                    "XREAD BLOCK 50 STREAMS {x} $",
                    "BLMPOP 0.05 1 {l} LEFT",
                    "BZPOPMIN {z} 0.05",
                ]
            )
            others = [self.command("[PING|GET {k}|MULTI|EXEC|RPUSH {l} a|SUBSCRIBE {c}]") for _ in range(r.randint(0, 2))]
            return ("wait", number, [self.command(line), *others])
        if roll < 0.02 and number not in blocked:
            return (
                "send",
                number,
                [self.command("[PING|GET {k}|PUBLISH {c} m|RPUSH {l} a|LPOP {l}|SET {k} 1]") for _ in range(300)],
            )
        if roll < 0.72:
            return ("send", number, [self.command()])
        if roll < 0.85:
            commands = [self.command() for _ in range(r.randint(2, 5))]
            if r.random() < 0.8:
                # In which order the pipelines of several go on who are woken at once is up to the server.
                commands.sort(key=lambda command: command[0] in WAITING)
            return ("send", number, commands)
        if roll < 0.95:
            middle = [self.command() for _ in range(r.randint(1, 4))]
            before = [self.command("WATCH {k}")] if r.random() < 0.3 else []
            return ("send", number, [*before, [b"MULTI"], *middle, [b"EXEC"]])
        if roll < 0.975:
            return ("raw", number, r.choice([data for data in RAW if not self.without.search(repr(data))]))
        if roll < 0.985:
            data = encode([word if isinstance(word, bytes) else b"0" for word in self.command()])
            cut = r.randrange(1, len(data))
            self.rest[number] = data[cut:]
            return ("raw", number, data[:cut])
        if roll < 0.994:
            # Redis has FLUSHALL wait for its helper, so that there may be a reply or not.
            commands = [self.command() for _ in range(r.randint(0, 2))]
            return ("shut", number, [command for command in commands if not command[0].startswith(b"FLUSH")])
        return ("close", number, None)
