# Plugins: the built-in ones, their switches, and what INFO tells of them. A program with a plugin of its own is
# examples/plugin.rs, which tests itself.

# Whether INFO tells that a plugin is on.
proc is_on {name} {
    regexp "plugin:name=$name,version=\[0-9.]+,builtin=1,enabled=(\[01]),hooks=\r\n" [lindex [ask INFO plugins] 1] all on
    return $on
}

check "INFO tells of the built-in ones" -only cachestorm {
    foreach name {stats auth slowlog persistence} {
        same 1 [is_on $name] $name
    }
    same 1 [string match "*\r\n# Plugins\r\n*" [lindex [ask INFO] 1]]
}

check "some can be switched at any time" -only cachestorm {
    foreach name {stats auth slowlog} {
        expect +OK [ask CONFIG SET $name-enabled no]
        same 0 [is_on $name] $name
        expect +OK [ask CONFIG SET $name-enabled yes]
        same 1 [is_on $name] $name
    }
}

check "without stats there are no histograms" -only cachestorm -config {stats-enabled no} {
    ask CONFIG RESETSTAT
    ask GET k
    same 0 [string match *latency_percentiles_usec_get* [lindex [ask INFO latencystats] 1]]
    # How often commands run is always counted.
    same 1 [string match *cmdstat_get:calls=1,* [lindex [ask INFO commandstats] 1]]
    ask CONFIG SET stats-enabled yes
    ask GET k
    same 1 [string match *latency_percentiles_usec_get* [lindex [ask INFO latencystats] 1]]
    ask CONFIG SET stats-enabled no
}

check "without the slow log nothing is slow" -only cachestorm -config {slowlog-enabled no slowlog-log-slower-than 0} {
    ask SLOWLOG RESET
    ask GET k
    expect :0 [ask SLOWLOG LEN]
}

check "without persistence nothing is loaded, and nothing saved unasked" -only cachestorm \
    -server {--persistence-enabled no --save {60 1} --appendonly yes} {
    same 0 [is_on persistence]
    expect {{"save" ""}} [ask CONFIG GET save]
    expect {{"appendonly" "no"}} [ask CONFIG GET appendonly]
    expect +OK [ask CONFIG SET save "60 1"]
    expect {{"save" ""}} [ask CONFIG GET save]
    ask SET k v
    # Who asks for a snapshot gets one, which the next start leaves alone.
    expect +OK [ask SAVE]
    set port $server::port($run::server)
    set dir $server::dir($run::server)
    run::disconnect
    server::stop $run::server
    set run::server [server::launch $port $dir [list {*}[server::flags $port $dir] --persistence-enabled no]]
    expect :0 [ask DBSIZE]
}

check "without auth the password is not asked for" -only cachestorm \
    -server {--auth-enabled no --requirepass secret} {
    expect +PONG [ask PING]
    same 0 [is_on auth]
}
