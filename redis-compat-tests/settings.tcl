# Settings: flags, redis.conf, YAML, environment; which wins; what is refused; reload and CONFIG REWRITE.

# Starts a server on a file with that text, `%PORT` and `%DIR` replaced; it becomes the server of the case.
proc start_on {name text {flags {}} {environment {}}} {
    global file
    set port [server::free_port]
    set dir [server::new_dir]
    set file $dir/$name
    spill $file [string map [list %PORT $port %DIR $dir] $text]
    set run::server [server::launch $port $dir [list $file {*}$flags] $environment]
}

proc setting {name} {
    return [lindex [ask CONFIG GET $name] 1 1 1]
}

# Checks pairs of setting and value.
proc settings_are {pairs} {
    foreach {name value} $pairs {
        same $value [setting $name] $name
    }
}

# --- flags ------------------------------------------------------------------------------

check "flags are settings of redis.conf" {
    set run::server [server::start --maxmemory 100mb --MAXMEMORY-policy allkeys-lru --save 900 1 300 10 \
        --client-output-buffer-limit normal 1 2 3 --appendfsync no --hz 50 --requirepass ""]
    settings_are {
        maxmemory 104857600
        maxmemory-policy allkeys-lru
        save "900 1 300 10"
        client-output-buffer-limit "normal 1 2 3 slave 268435456 67108864 60 pubsub 33554432 8388608 60"
        appendfsync no
        hz 50
        requirepass ""
    }
    expect {/config_file:\r\n/} [ask INFO server]
}

check "one argument may hold a flag and its values" {
    set run::server [server::start --save "900 1 300 10" "--hz 20" --loglevel "verbose"]
    settings_are {save "900 1 300 10" hz 20 loglevel verbose}
}

check "--version and --help tell and exit" {
    foreach flag {--version -v --help -h} {
        lassign [server::run $flag] code output
        same 1 [expr {$output ne ""}] "$flag says something"
    }
    same 0 [lindex [server::run --version] 0] "exit code of --version"
}

check "bad flags end the start and are named" {
    foreach {arguments pattern} {
        {--nonsense 1}                  *nonsense*
        {--port}                        *port*
        {--port x}                      *port*
        {--port 65536}                  *port*
        {--port -1}                     *port*
        {--maxmemory lots}              *maxmemory*
        {--maxmemory-policy nonsense}   *maxmemory-policy*
        {--appendonly maybe}            *appendonly*
        {--databases 0}                 *databases*
        {--hz x}                        *hz*
        {--save nonsense}               *save*
        {--loglevel loud}               *loglevel*
        {--tcp-backlog -1}              *tcp-backlog*
        {--rename-command GET}          *rename-command*
        {--client-output-buffer-limit normal 1}  *client-output-buffer-limit*
        {/nonexistent/file.conf}        */nonexistent/file.conf*
    } {
        lassign [server::run [list {*}$arguments --port 0]] code output
        same 1 $code "exit code of $arguments"
        if {![string match $pattern $output]} {
            run::problem $arguments $pattern $output
        }
    }
}

# --- redis.conf ----------------------------------------------------------------------------

check "a redis.conf" {
    spill [set included [server::new_dir]/more.conf] "hz 33\nmaxmemory-samples 7\n"
    start_on redis.conf "
# a comment
port %PORT
BIND 127.0.0.1
dir %DIR
   maxmemory   2gb
save 900 1
save 300 10
include $included
maxmemory-samples 8
requirepass \"two words \\x41\\n\"
client-output-buffer-limit normal 1mb 512kb 10
client-output-buffer-limit replica 3mb 2mb 20

rename-command FLUSHALL WIPE
rename-command FLUSHDB ''
latency-tracking-info-percentiles 50 90
"
    expect -NOAUTH\ Authentication\ required. [ask PING]
    expect +OK [ask AUTH "two words A\n"]
    settings_are {
        maxmemory 2147483648
        save "900 1 300 10"
        hz 33
        maxmemory-samples 8
        client-output-buffer-limit "normal 1048576 524288 10 slave 3145728 2097152 20 pubsub 33554432 8388608 60"
        latency-tracking-info-percentiles "50 90"
    }
    expect {/^-ERR unknown command 'FLUSHALL'/} [ask FLUSHALL]
    expect {/^-ERR unknown command 'FLUSHDB'/} [ask FLUSHDB]
    expect +OK [ask WIPE]
    expect "/\r\nconfig_file:[string map {/ \\/ . \\.} $file]\r\n/" [ask INFO server]
}

check "a later directive wins, save adds up, flags win over the file" {
    start_on redis.conf "port %PORT\nbind 127.0.0.1\ndir %DIR\nhz 20\nhz 30\nsave \"\"\nsave 60 5\nmaxmemory 1mb\n" \
        {--maxmemory 2mb}
    settings_are {hz 30 save "60 5" maxmemory 2097152}
}

check "redis.conf from standard input" {
    set port [server::free_port]
    set dir [server::new_dir]
    spill $dir/input "hz 44\nport $port\nbind 127.0.0.1\nsave \"\"\n"
    set server::port([set id [exec setpriv --pdeathsig KILL -- $server::binary - --dir $dir --maxmemory 3mb \
        < $dir/input >& $dir/log &]]) $port
    set server::dir($id) $dir
    set run::server $id
    eventually {![catch {ask PING}]}
    settings_are {hz 44 maxmemory 3145728}
}

check "bad redis.conf files end the start and name the directive" {
    foreach {line pattern} {
        "nonsense 1"                *nonsense*
        "maxmemory lots"            *maxmemory*lots*
        "hz"                        *hz*
        "requirepass \"open"        *requirepass*
        "save 1"                    *save*
        "include /nonexistent"      */nonexistent*
        "maxmemory 1tb"             "*maxmemory 1tb*argument must be a memory value*"
        "dir \"\""                  "*dir \"\"*No such file or directory*"
        "rename-command NOSUCH X"   "*at line 2*'rename-command NOSUCH X'*No such command in rename-command*"
        "rename-command GET SET"    "*at line 2*'rename-command GET SET'*Target command name already exists*"
        "user alice on foo"         "*at line 2*Error in user declaration 'alice': Syntax error*"
    } {
        set path [server::new_dir]/redis.conf
        spill $path "# first line\n$line\n"
        lassign [server::run [list $path --port [server::free_port]]] code output
        same 1 $code "exit code of $line"
        if {![string match $pattern $output]} {
            run::problem $line $pattern $output
        }
    }
}

check "CONFIG REWRITE keeps the file's comments and order" {
    start_on redis.conf "# on top\nport %PORT\nbind 127.0.0.1\ndir %DIR\n\n# how often\nhz 20\n# memory\nmaxmemory 1mb\nsave \"\"\n"
    expect +OK [ask CONFIG SET hz 40 maxmemory 2mb maxmemory-samples 9]
    expect +OK [ask CONFIG REWRITE]
    set text [slurp $file]
    same 1 [regexp {^# on top\nport \d+\nbind 127\.0\.0\.1\n} $text] "the beginning of: $text"
    same 1 [regexp {\n# how often\nhz 40\n# memory\nmaxmemory (2mb|2097152)\n} $text] "changed in place: $text"
    same 1 [regexp {\nmaxmemory-samples 9\n} $text] "added: $text"
    expect +OK [ask CONFIG REWRITE]
    same [string trimright $text] [string trimright [slurp $file]] "a second rewrite changes nothing"
    # Started on its own rewrite, the server is the same.
    set port $server::port($run::server)
    set dir $server::dir($run::server)
    run::disconnect
    server::stop $run::server
    set run::server [server::launch $port $dir [list $file]]
    settings_are {hz 40 maxmemory 2097152 maxmemory-samples 9 save ""}
}

check "CONFIG REWRITE writes where the server works" {
    foreach line {"# nothing" "dir ."} {
        set port [server::free_port]
        set dir [file normalize [server::new_dir]]
        spill [set file $dir/redis.conf] "port $port\nbind 127.0.0.1\n$line\nsave \"\"\n"
        set run::server [server::launch $port $dir [list $file] [list -C $dir]]
        expect +OK [ask CONFIG REWRITE]
        same 1 [regexp "\ndir \"?$dir\"?\n" [slurp $file]] "dir in: [slurp $file]"
        run::disconnect
        server::stop $run::server
    }
}

check "the working directory is told as it is called now" {
    set port [server::free_port]
    set dir [file normalize [server::new_dir]]
    file mkdir $dir/one
    set run::server [server::launch $port $dir [list --port $port --bind 127.0.0.1 --save "" --dir $dir/one]]
    same $dir/one [setting dir] dir
    file rename $dir/one $dir/two
    same $dir/two [setting dir] "dir after it has been moved"
}

check "what CONFIG SET takes" {
    set run::server [server::start]
    foreach {pairs expected} {
        {slave-read-only yes replica-read-only no}  {replica-read-only no}
        {replica-read-only no slave-read-only yes}  {replica-read-only yes}
        {maxmemory-clients ""}                      {maxmemory-clients 0}
        {repl-backlog-size 100}                     {repl-backlog-size 16384}
        {cluster-announce-human-nodename "a b"}     {cluster-announce-human-nodename "a b"}
    } {
        expect +OK [ask CONFIG SET {*}$pairs] $pairs
        settings_are $expected
    }
    foreach {pairs reason} {
        {hz 10 HZ 11}                        "'HZ') - duplicate parameter"
        {maxmemory 1tb}                      "'maxmemory') - argument must be a memory value"
        {maxmemory-clients %}                "'maxmemory-clients') - argument must be a memory or percent value"
        {cluster-announce-human-nodename a:b} "'cluster-announce-human-nodename') - Announced human node name contained invalid character"
    } {
        expect "-ERR CONFIG SET failed (possibly related to argument $reason" [ask CONFIG SET {*}$pairs] $pairs
    }
}

check "CONFIG under another name" {
    set run::server [server::start --rename-command CONFIG hidden]
    expect {-ERR unknown subcommand 'FOO'. Try HIDDEN HELP.} [ask hidden FOO]
}

check "CONFIG REWRITE of values that need quotes" {
    start_on redis.conf "port %PORT\nbind 127.0.0.1\ndir %DIR\n"
    expect +OK [ask CONFIG SET requirepass "a \"b\" \\ \n\x01" save "60 5 10 1"]
    expect +OK [ask AUTH "a \"b\" \\ \n\x01"]
    expect +OK [ask CONFIG REWRITE]
    set port $server::port($run::server)
    set dir $server::dir($run::server)
    run::disconnect
    server::stop $run::server
    set run::server [server::launch $port $dir [list $file]]
    expect +OK [ask AUTH "a \"b\" \\ \n\x01"]
    settings_are {save "60 5 10 1"}
}

# --- YAML, for CacheStorm alone ----------------------------------------------------------------

set yaml "# the cache
server:
  bind: 127.0.0.1   # here only
  port: %PORT
  max_connections: 500
  tcp_keepalive: 60
  timeout: 5m
  databases: 4
memory:
  max_memory: 64mb
  eviction_policy: allkeys-lfu
  eviction_sample_size: 7
persistence:
  enabled: false
  data_dir: %DIR
plugins:
  metrics:
    enabled: false
  slowlog:
    enabled: true
    threshold: 20ms
    max_entries: 50
redis:
  hz: 25
  hash-max-listpack-entries: 99
"

check "a YAML file" -only cachestorm {
    start_on cachestorm.yaml $yaml
    settings_are {
        maxclients 500
        tcp-keepalive 60
        timeout 300
        databases 4
        maxmemory 67108864
        maxmemory-policy allkeys-lfu
        maxmemory-samples 7
        slowlog-log-slower-than 20000
        slowlog-max-len 50
        hz 25
        hash-max-listpack-entries 99
    }
    same [file normalize $server::dir($run::server)] [setting dir] dir
    expect "-ERR DB index is out of range" [ask SELECT 4]
}

check "flags win over the environment, that over the file, that over the defaults" -only cachestorm {
    start_on cachestorm.yaml $yaml {--maxmemory 1mb} \
        {CACHESTORM_MAX_MEMORY=2mb CACHESTORM_EVICTION_POLICY=volatile-ttl CACHESTORM_SERVER_TCP_KEEPALIVE=70}
    settings_are {
        maxmemory 1048576
        maxmemory-policy volatile-ttl
        tcp-keepalive 70
        hz 25
        lfu-log-factor 10
    }
}

check "the environment alone" -only cachestorm {
    set port [server::free_port]
    set dir [server::new_dir]
    set run::server [server::launch $port $dir {} [list -C $dir CACHESTORM_PORT=$port CACHESTORM_BIND=127.0.0.1 \
        CACHESTORM_MAX_MEMORY=5mb CACHESTORM_PERSISTENCE_DATA_DIR=$dir CACHESTORM_LOG_LEVEL=debug \
        CACHESTORM_MEMORY_EVICTION_SAMPLE_SIZE=9]]
    settings_are {maxmemory 5242880 loglevel debug maxmemory-samples 9}
    same [file normalize $dir] [setting dir] dir
}

check "cachestorm.yaml of the working directory is the default file" -only cachestorm {
    set port [server::free_port]
    set dir [server::new_dir]
    spill $dir/cachestorm.yaml [string map [list %PORT $port %DIR $dir] $yaml]
    set run::server [server::launch $port $dir {} [list -C $dir]]
    settings_are {hz 25}
}

check "--config and the short flags" -only cachestorm {
    set port [server::free_port]
    set dir [server::new_dir]
    spill $dir/some.yml [string map [list %PORT $port %DIR $dir] $yaml]
    set run::server [server::launch $port $dir \
        [list --config $dir/some.yml --maxmemory 9mb --loglevel warning --data-dir $dir --logformat json]]
    settings_are {hz 25 maxmemory 9437184 loglevel warning}
    same [file normalize $dir] [setting dir] dir
}

check "all problems of a file are reported together" -only cachestorm {
    set path [server::new_dir]/bad.yaml
    spill $path "server:\n  port: 99999\n  nonsense: 1\nmemory:\n  max_memory: lots\n  eviction_policy: maybe\nredis:\n  hz: x\n"
    lassign [server::run [list $path --appendonly perhaps] {CACHESTORM_SERVER_DATABASES=-3}] code output
    same 1 $code "exit code"
    foreach word {99999 nonsense lots maybe databases -3 hz appendonly perhaps allkeys-lru} {
        if {![string match *$word* $output]} {
            run::problem "the report names $word" $word $output
        }
    }
    set path [server::new_dir]/bad.conf
    spill $path "port 99999\nnonsense 1\nmaxmemory lots\n"
    lassign [server::run [list $path]] code output
    same 1 $code "exit code"
    foreach word {99999 nonsense lots} {
        if {![string match *$word* $output]} {
            run::problem "the report names $word" $word $output
        }
    }
}

check "broken YAML is refused with its place" -only cachestorm {
    set path [server::new_dir]/broken.yaml
    spill $path "server:\n  port: \[1\n"
    lassign [server::run [list $path]] code output
    same 1 $code "exit code"
    same 1 [regexp -nocase {line \d} $output] "the line is named: $output"
}

check "CONFIG REWRITE of a YAML file keeps its comments and format" -only cachestorm {
    start_on cachestorm.yaml $yaml
    set before [slurp $file]
    expect +OK [ask CONFIG REWRITE]
    same $before [slurp $file] "nothing changed"
    expect +OK [ask CONFIG SET maxmemory 32mb hz 30 maxmemory-samples 3 lfu-log-factor 11]
    expect +OK [ask CONFIG REWRITE]
    set text [slurp $file]
    same 1 [regexp {^# the cache\nserver:\n  bind: 127\.0\.0\.1   # here only\n} $text] "comments stay: $text"
    same 1 [regexp {\n  max_memory: (32mb|33554432)\n} $text] "max_memory: $text"
    same 1 [regexp {\nredis:\n  hz: 30\n  hash-max-listpack-entries: 99\n} $text] "redis section: $text"
    set port $server::port($run::server)
    set dir $server::dir($run::server)
    run::disconnect
    server::stop $run::server
    set run::server [server::launch $port $dir [list $file]]
    settings_are {maxmemory 33554432 hz 30 maxmemory-samples 3 lfu-log-factor 11 timeout 300}
}

check "users that an included file declares in words of their own are no obstacle" -only cachestorm {
    spill [set included [server::new_dir]/users.conf] "user alice on >secret ~a* +get\n"
    start_on redis.conf "port %PORT\nbind 127.0.0.1\ndir %DIR\nsave \"\"\ninclude $included\n"
    expect +OK [ask CONFIG SET hz 22]
    expect +OK [ask CONFIG REWRITE]
    same 1 [regexp {\nhz 22\n} [slurp $file]] "hz in: [slurp $file]"
    same 0 [regexp {\nuser } [slurp $file]] "users in: [slurp $file]"
    expect +OK [ask ACL SETUSER bob on]
    expect {/^-ERR Rewriting config file: no way to write user/} [ask CONFIG REWRITE]
}

check "without a file SIGHUP changes nothing" -only cachestorm {
    set run::server [server::start]
    expect +OK [ask CONFIG SET hz 33 maxmemory 5mb]
    server::signal $run::server HUP
    eventually {[string match "*no settings file*" [server::log $run::server]]}
    settings_are {hz 33 maxmemory 5242880}
}

check "terabytes, in YAML alone" -only cachestorm {
    start_on cachestorm.yaml [string map {"max_memory: 64mb" "max_memory: 1tb"} $yaml]
    settings_are {maxmemory 1099511627776}
}

check "SIGHUP reads the file again" -only cachestorm {
    foreach {name text from to} [list cachestorm.yaml $yaml "max_memory: 64mb" "max_memory: 16mb" \
            redis.conf "port %PORT\nbind 127.0.0.1\ndir %DIR\nsave \"\"\nhz 25\nmaxmemory 64mb\n" "maxmemory 64mb" "maxmemory 16mb"] {
        start_on $name $text
        expect +OK [ask SET k v]
        set original [slurp $file]
        spill $file [string map [list $from $to] $original]
        server::signal $run::server HUP
        eventually {[setting maxmemory] eq "16777216"}
        settings_are {hz 25}
        # A file with a problem changes nothing.
        spill $file [string map [list $from $to "hz: 25" "hz: x" "hz 25" "hz x"] $original]
        server::signal $run::server HUP
        eventually {[string match -nocase *hz* [server::log $run::server]]}
        settings_are {hz 25 maxmemory 16777216}
        expect {"v"} [ask GET k]
        run::disconnect
        server::stop $run::server
    }
}
