# FUNCTION, FCALL, FCALL_RO: libraries of functions, what they may be, how they are kept. And the libraries that all scripts have.

# The code of a library whose functions answer its name.
proc library {name args} {
    set code "#!lua name=$name\n"
    foreach function $args {
        append code "redis.register_function('$function', function(keys, args) return '$name' end)\n"
    }
    return $code
}

# The code of a library with one function, given as its body, and the named arguments it is registered with.
proc function {body {named ""}} {
    return "#!lua name=lib\nredis.register_function{function_name='f', callback=function(keys, args) $body end$named}"
}

# Loads one library with such a function in the place of all there are.
proc only {args} {
    ask FUNCTION FLUSH
    expect {"lib"} [ask FUNCTION LOAD [function {*}$args]]
}

set ab [library a f g]
set b [library b h]

case "loading, calling, deleting" {
    FUNCTION FLUSH                       -> +OK
    FUNCTION LOAD $ab                    -> "a"
    FUNCTION LOAD $b                     -> "b"
    FCALL f 0                            -> "a"
    FCALL F 0                            -> "a"
    FCALL h 0                            -> "b"
    FCALL_RO h 0                         -> -ERR Can not execute a script with write flag using *_ro command.
    FCALL nosuch 0                       -> -ERR Function not found
    FCALL f x                            -> -ERR Bad number of keys provided
    FCALL f 1                            -> -ERR Number of keys can't be greater than number of args
    FCALL f -1                           -> -ERR Number of keys can't be negative
    FUNCTION LOAD $ab                    -> -ERR Library 'a' already exists
    FUNCTION LOAD REPLACE $ab            -> "a"
    FUNCTION LOAD replace REPLACE $ab    -> "a"
    FUNCTION LOAD what $ab               -> -ERR Unknown option given: what
    FUNCTION DELETE b                    -> +OK
    FUNCTION DELETE b                    -> -ERR Library not found
    FCALL h 0                            -> -ERR Function not found
    FUNCTION FLUSH ASYNC                 -> +OK
    FUNCTION FLUSH SYNC                  -> +OK
    FUNCTION FLUSH what                  -> -ERR FUNCTION FLUSH only supports SYNC|ASYNC option
    FUNCTION FLUSH SYNC x                -> -ERR unknown subcommand or wrong number of arguments for 'FLUSH'. Try FUNCTION HELP.
    FCALL f 0                            -> -ERR Function not found
}

check "first lines of libraries" {
    ask FUNCTION FLUSH
    foreach {code error} {
        "return 1"                 "Missing library metadata"
        "#!lua name=a"             "Invalid library metadata"
        "#!lua\n"                  "Library name was not given"
        "#!lua name=a name=b\n"    "Invalid metadata value, name argument was given multiple times"
        "#!lua name=a b=c\n"       "Invalid metadata value given: b=c"
        "#!lua name=a-b\n"         "Library names can only contain letters, numbers, or underscores(_) and must be at least one character long"
        "#!lua name=\n"            "Library names can only contain letters, numbers, or underscores(_) and must be at least one character long"
        "#!js name=a\n"            "Engine 'js' not found"
        "#!lua name=a\n"           "No functions registered"
        "#!LUA Name=a\nreturn 1"   "No functions registered"
    } {
        expect "-ERR $error" [ask FUNCTION LOAD [subst $code]]
    }
    expect {[]} [ask FUNCTION LIST]
}

check "how functions are registered" {
    ask FUNCTION FLUSH
    set refused "ERR Error registering functions: "
    foreach {arguments error} {
        {}                                     "wrong number of arguments to redis.register_function"
        {'f', type, 1}                        "wrong number of arguments to redis.register_function"
        {1}                                    "calling redis.register_function with a single argument is only applicable to Lua table (representing named arguments)."
        {{}, type}                             "first argument to redis.register_function must be a string"
        {'f', 'g'}                             "second argument to redis.register_function must be a function"
        {'f-g', type}                          "Library names can only contain letters, numbers, or underscores(_) and must be at least one character long"
        {{function_name='f'}}                  "redis.register_function must get a callback argument"
        {{callback=type}}                      "redis.register_function must get a function name argument"
        {{function_name={}}}                   "function_name argument given to redis.register_function must be a string"
        {{description={}}}                     "description argument given to redis.register_function must be a string"
        {{callback=1}}                         "callback argument given to redis.register_function must be a function"
        {{flags=1}}                            "flags argument to redis.register_function must be a table representing function flags"
        {{flags={'what'}}}                     "unknown flag given"
        {{what=1}}                             "unknown argument given to redis.register_function"
    } {
        set reply [ask FUNCTION LOAD "#!lua name=a\nlocal type = function() end\nredis.register_function($arguments)"]
        expect "/^-$refused.*[string map {( \\( ) \\) . \\.} $error]/" $reply
    }
    set twice "#!lua name=a\nfor i = 1, 2 do redis.register_function('f', function() end) end"
    expect "/^-$refused.*Function already exists in the library/" [ask FUNCTION LOAD $twice]
    expect "/^-ERR Error compiling function: @?user_function:2: /" [ask FUNCTION LOAD "#!lua name=a\n?"]
    # What a library may not do while it is loaded.
    expect "/^-$refused.*attempted to access nonexistent global variable 'call'/" [ask FUNCTION LOAD "#!lua name=a\nredis.call('ping')"]
    expect "/^-$refused.*Attempt to modify a readonly table/" [ask FUNCTION LOAD "#!lua name=a\na = 1"]
    expect "/^-$refused.*FUNCTION LOAD timeout/" [ask FUNCTION LOAD "#!lua name=a\nwhile true do end"]
    expect {[]} [ask FUNCTION LIST]
    ask FUNCTION LOAD [library a f]
    expect {-ERR Function F already exists} [ask FUNCTION LOAD [library b F]]
    only {return redis.register_function('g', tostring)}
    expect {/attempt to call field 'register_function'/} [ask FCALL f 0]
}

check "what a function gets and answers" {
    only {return {keys[1], keys[2], args[1], #keys, #args}}
    expect {["k" "l" "x" :2 :1]} [ask FCALL f 2 k l x]
    only {redis.call('SET', keys[1], args[1]) return redis.call('GET', keys[1])}
    expect {"v"} [ask FCALL f 1 k v]
    only {return KEYS}
    expect {/nonexistent global variable 'KEYS'/} [ask FCALL f 0]
    only {x = 1}
    expect {/Attempt to modify a readonly table/} [ask FCALL f 0]
    only {return redis.call('FCALL', 'f', '0')}
    expect {/This Redis command is not allowed from script/} [ask FCALL f 0]
    only {error('what')}
    expect {-ERR user_function:2: what script: f, on @user_function:2.} [ask FCALL f 0]
    only {return redis.error_reply('OH no')}
    expect {-OH no} [ask FCALL f 0]
}

check "flags" -config {maxmemory 0} {
    only {return redis.call('SET', 'k', 'v')} {, flags={'no-writes'}}
    expect {/Write commands are not allowed from read-only scripts/} [ask FCALL f 0]
    expect {/Write commands are not allowed from read-only scripts/} [ask FCALL_RO f 0]
    only {return redis.call('GET', 'k')} {, flags={'NO-WRITES'}}
    expect nil [ask FCALL_RO f 0]
    expect nil [ask FCALL f 0]
    ask CONFIG SET maxmemory 1
    expect nil [ask FCALL f 0]
    expect {-OOM command not allowed when used memory > 'maxmemory'.} [ask FUNCTION LOAD [library a g]]
    ask CONFIG SET maxmemory 0
    only {return 1}
    ask CONFIG SET maxmemory 1
    expect {-OOM command not allowed when used memory > 'maxmemory'.} [ask FCALL f 0]
    ask CONFIG SET maxmemory 0
    only {return redis.call('SET', 'k', 'v')} {, flags={'allow-oom'}}
    ask CONFIG SET maxmemory 1
    expect +OK [ask FCALL f 0]
    ask CONFIG SET maxmemory 0
}

check "what there is" {
    ask FUNCTION FLUSH
    expect {?{"running_script" nil "engines" {"LUA" ?{"libraries_count" :0 "functions_count" :0}}}} [ask FUNCTION STATS]
    set code "#!lua name=Lib\nredis.register_function{function_name='f', callback=function() end, description='what', flags={'no-writes', 'allow-stale'}}"
    ask FUNCTION LOAD $code
    ask FUNCTION LOAD [library other g]
    set f {?{"name" "f" "description" "what" "flags" ~[+"no-writes" +"allow-stale"]}}
    set g {?{"name" "g" "description" nil "flags" ~[]}}
    set lib "\"library_name\" \"Lib\" \"engine\" \"LUA\" \"functions\" \[$f\]"
    set other "\"library_name\" \"other\" \"engine\" \"LUA\" \"functions\" \[$g\]"
    expect "?\[?{$lib} ?{$other}\]" [ask FUNCTION LIST]
    expect "\[?{$lib}\]" [ask FUNCTION LIST LIBRARYNAME l*]
    expect "\[?{$other \"library_code\" [resp::quote [library other g]]}\]" [ask FUNCTION LIST WITHCODE LIBRARYNAME other]
    expect {[]} [ask FUNCTION LIST LIBRARYNAME nosuch]
    expect {-ERR library name argument was not given} [ask FUNCTION LIST LIBRARYNAME]
    expect {-ERR Unknown argument what} [ask FUNCTION LIST what]
    expect {-ERR Unknown argument WITHCODE} [ask FUNCTION LIST WITHCODE WITHCODE]
    expect {?{"running_script" nil "engines" {"LUA" ?{"libraries_count" :2 "functions_count" :2}}}} [ask FUNCTION STATS]
    expect {/number_of_functions:2\r\nnumber_of_libraries:2\r\nused_memory_vm_functions:[1-9]/} [ask INFO memory]
    expect {-NOTBUSY No scripts in execution right now.} [ask FUNCTION KILL]
    ask FLUSHALL
    expect {?{"running_script" nil "engines" {"LUA" ?{"libraries_count" :2 "functions_count" :2}}}} [ask FUNCTION STATS]
}

check "dumped and restored" {
    ask FUNCTION FLUSH
    set empty [lindex [ask FUNCTION DUMP] 1]
    ask FUNCTION LOAD [library a f]
    ask FUNCTION LOAD [library b g]
    set both [lindex [ask FUNCTION DUMP] 1]
    expect {/^-ERR Library [ab] already exists/} [ask FUNCTION RESTORE $both]
    expect {/^-ERR Library [ab] already exists/} [ask FUNCTION RESTORE $both append]
    expect +OK [ask FUNCTION RESTORE $both REPLACE]
    expect +OK [ask FUNCTION RESTORE $both FLUSH]
    expect +OK [ask FUNCTION RESTORE $empty]
    expect {"a"} [ask FCALL f 0]
    ask FUNCTION DELETE a
    ask FUNCTION DELETE b
    ask FUNCTION LOAD [library c g]
    expect {-ERR Function g already exists} [ask FUNCTION RESTORE $both REPLACE]
    expect {-ERR Function not found} [ask FCALL f 0]
    expect +OK [ask FUNCTION RESTORE $both FLUSH]
    expect {"b"} [ask FCALL g 0]
    expect {-ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.} [ask FUNCTION RESTORE $both what]
    expect {-ERR DUMP payload version or checksum are wrong} [ask FUNCTION RESTORE what]
    expect {-ERR DUMP payload version or checksum are wrong} [ask FUNCTION RESTORE [string range $both 1 end]]
    expect +OK [ask FUNCTION RESTORE $empty FLUSH]
    expect {[]} [ask FUNCTION LIST]
    ask SET k v
    expect {-ERR given type is not a function} [ask FUNCTION RESTORE [lindex [ask DUMP k] 1]]
}

check "in snapshots" -needs {debug} {
    ask FUNCTION FLUSH
    ask FUNCTION LOAD [library a f]
    expect +OK [ask DEBUG RELOAD]
    expect {"a"} [ask FCALL f 0]
    ask SAVE
    ask FUNCTION LOAD [library b g]
    expect +OK [ask DEBUG RELOAD NOSAVE]
    expect {"a"} [ask FCALL f 0]
    expect {-ERR Function not found} [ask FCALL g 0]
    expect +OK [ask DEBUG RELOAD MERGE NOFLUSH]
}

check "in the append-only file" -server {--appendonly yes --auto-aof-rewrite-percentage 0} -needs {debug} {
    foreach preamble {yes no} {
        ask CONFIG SET aof-use-rdb-preamble $preamble
        ask FUNCTION FLUSH
        ask FUNCTION LOAD [library a f]
        ask BGREWRITEAOF
        while {[regexp {aof_rewrite_in_progress:1|aof_rewrite_scheduled:1} [lindex [ask INFO persistence] 1]]} { after 20 }
        ask FUNCTION LOAD [library b g]
        ask FUNCTION LOAD REPLACE [library a h]
        ask FUNCTION LOAD [library c x]
        ask FUNCTION DELETE c
        set payload [lindex [ask FUNCTION DUMP] 1]
        ask FUNCTION RESTORE $payload FLUSH
        expect +OK [ask DEBUG LOADAOF]
        expect {?{"running_script" nil "engines" {"LUA" ?{"libraries_count" :2 "functions_count" :2}}}} [ask FUNCTION STATS]
        expect {"b"} [ask FCALL g 0]
        expect {"a"} [ask FCALL h 0]
    }
}

check "who may call functions" {
    only {return redis.call('GET', keys[1])} {, flags={'no-writes'}}
    ask ACL SETUSER caller on nopass +fcall ~k*
    ask AUTH caller x
    expect {/^-NOPERM/} [ask FUNCTION LIST]
    expect {/^-NOPERM/} [ask FCALL f 1 other]
    expect {/ACL failure in script/} [ask FCALL f 1 k]
    ask AUTH default ""
    ask ACL DELUSER caller
}

check "a function that runs for long" -server {--busy-reply-threshold 10} {
    ask FUNCTION LOAD [function {while true do end}]
    ask FUNCTION LOAD [library quick g]
    set busy [resp::open $server::port($run::server)]
    resp::send $busy {FCALL f 0}
    eventually {[string match *BUSY* [ask PING]]}
    expect {-BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.} [ask GET k]
    expect {?{"running_script" ?{"name" "f" "command" ["FCALL" "f" "0"] "duration_ms" :10..60000} "engines" {"LUA" any}}} [ask FUNCTION STATS]
    expect {-BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.} [ask SCRIPT KILL]
    expect +OK [ask FUNCTION KILL]
    expect {/Script killed by user/} [resp::read $busy]
    resp::close $busy
    expect {"quick"} [ask FCALL g 0]
}

check "libraries are freed aside, but not under a function that runs" {
    set code "#!lua name=large
        local kept
        local function keep() kept = kept or string.rep('x', 3000000) return #kept end
        redis.register_function('length', keep)
        redis.register_function('last', function() keep() redis.call('function', 'flush', 'async') return keep() end)"
    expect {"large"} [ask FUNCTION LOAD $code]
    expect :3000000 [ask FCALL length 0]
    expect +OK [ask FUNCTION FLUSH ASYNC]
    expect {-ERR Function not found} [ask FCALL length 0]
    expect {"large"} [ask FUNCTION LOAD $code]
    expect +OK [ask DEBUG SET-DISABLE-DENY-SCRIPTS 1]
    expect :3000000 [ask FCALL last 0]
    expect +OK [ask DEBUG SET-DISABLE-DENY-SCRIPTS 0]
    expect {-ERR Function not found} [ask FCALL length 0]
}

case "libraries of scripts" {
    EVAL "return cjson.encode({1, 2.5, 'a/b', {}, cjson.null})" 0        -> "[1,2.5,\"a\\/b\",{},null]"
    EVAL "return cjson.decode(ARGV[1]).a[2]" 0 "{\"a\":\[1,\"x\"\]}"     -> "x"
    EVAL "return cjson.decode(ARGV[1])" 0 "\[1"                         -> /Expected comma or array end but found T_END at character 3/
    EVAL "return cmsgpack.pack(1, 'a', {true}, {a = 1.5})" 0             -> "\x01\xa1a\x91\xc3\x81\xa1a\xca?\xc0\x00\x00"
    EVAL "return {cmsgpack.unpack(ARGV[1])}" 0 "\x01\xa1a\x92\x05\x06"   -> [:1 "a" [:5 :6]]
    EVAL "return struct.pack('>Hs', 258, 'a')" 0                         -> "\x01\x02a\x00"
    EVAL "return {struct.unpack('<i4', ARGV[1])}" 0 "\x01\x00\x00\x80"   -> [:-2147483647 :5]
    EVAL "return {bit.band(0xff, 0xf), bit.tobit(2^31), bit.tohex(255, 4)}" 0    -> [:15 :-2147483648 "00ff"]
    EVAL "cjson.encode = nil" 0                                          -> /Attempt to modify a readonly table/
    EVAL "return pcall(cjson.decode, '[1')" 0                            -> nil
    EVAL "return cjson.encode(function() end)" 0                         -> /Cannot serialise function: type not supported/
}
