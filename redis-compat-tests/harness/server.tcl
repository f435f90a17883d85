# Starting and stopping servers, each on a free port, in a directory of its own.
#
# A server is named by its process id. Its settings are given as command-line flags, as for redis-server.

namespace eval server {
    variable binary ""
    # 1 when the binary is CacheStorm, 0 when the expectations are being proven against Redis.
    variable cachestorm 0
    variable root ""
    variable first_port
    variable last_port
    variable port
    variable dir
    variable count 0
}

# Remembers the binary and the range of ports, and makes the directory under which all servers of this run live.
proc server::setup {path first last} {
    variable first_port $first
    variable last_port $last
    variable binary [file normalize $path]
    variable root [exec mktemp -d -t compat.XXXXXX]
    variable cachestorm
    if {![file executable $binary]} {
        error "$path is not an executable file"
    }
    set cachestorm [string match -nocase *cachestorm* [exec $binary --version]]
}

# A port nobody listens on. The default range is below the ports that the system gives to outgoing connections.
proc server::free_port {} {
    variable first_port
    variable last_port
    while 1 {
        set port [expr {$first_port + int(rand() * ($last_port - $first_port + 1))}]
        if {![catch {socket -server {} -myaddr 127.0.0.1 $port} s]} {
            close $s
            return $port
        }
    }
}

proc server::new_dir {} {
    variable root
    variable count
    set dir [file join $root [incr count]]
    file mkdir $dir
    return $dir
}

# Flags that every server of the tests gets, before its own.
proc server::flags {port dir} {
    return [list --port $port --bind 127.0.0.1 --dir $dir --save "" --enable-debug-command local]
}

# Starts a server with `args` as further flags; returns its id once it answers.
proc server::start {args} {
    set port [free_port]
    set dir [new_dir]
    return [launch $port $dir [list {*}[flags $port $dir] {*}$args]]
}

# Starts the binary with exactly these arguments, and with what `environment` gives to env(1): NAME=value, or -C DIR.
# It is expected to listen on `port`. The kernel kills it should the tests die (setpriv), so nothing is left behind.
proc server::launch {port_ dir_ arguments {environment {}}} {
    variable binary
    variable port
    variable dir
    set id [exec setpriv --pdeathsig KILL -- env {*}$environment $binary {*}$arguments < /dev/null >& $dir_/log &]
    set port($id) $port_
    set dir($id) $dir_
    for {set tries 0} {$tries < 1000} {incr tries} {
        if {![catch {resp::open $port_} c]} {
            resp::send $c PING
            set reply [resp::read $c]
            resp::close $c
            # Any answer will do: it may ask for a password.
            if {[lindex $reply 0] in {+ -} && ![string match LOADING* [lindex $reply 1]]} {
                return $id
            }
        }
        if {![alive $id]} break
        after 10
    }
    set log [log $id]
    stop $id
    error "the server did not start; its log:\n$log"
}

proc server::log {id} {
    variable dir
    set f [open $dir($id)/log]
    set text [read $f]
    close $f
    return $text
}

proc server::alive {id} {
    if {[catch {open /proc/$id/stat} f]} {
        return 0
    }
    set stat [read $f]
    close $f
    return [expr {[lindex [split [string range $stat [string last ) $stat] end]] 1] ni {Z X}}]
}

proc server::signal {id name} {
    exec kill -s $name $id
}

# Waits until the process is gone; 1 if it is.
proc server::wait_exit {id {ms 10000}} {
    for {set waited 0} {$waited < $ms && [alive $id]} {incr waited 10} {
        after 10
    }
    return [expr {![alive $id]}]
}

proc server::stop {id} {
    variable port
    variable dir
    if {[alive $id]} {
        catch {signal $id TERM}
        if {![wait_exit $id]} {
            catch {signal $id KILL}
            wait_exit $id
        }
    }
    unset -nocomplain port($id) dir($id)
}

# Runs the binary with arguments that should make it exit by itself: {exit code, output}.
# `environment` is a list of NAME=value; `stdin` is what it reads there.
proc server::run {arguments {environment {}} {stdin ""}} {
    variable binary
    try {
        set output [exec -ignorestderr timeout 20 env {*}$environment $binary {*}$arguments << $stdin 2>@1]
        return [list 0 $output]
    } trap CHILDSTATUS {output options} {
        return [list [lindex [dict get $options -errorcode] 2] $output]
    }
}

proc server::teardown {} {
    variable port
    variable root
    foreach id [array names port] {
        stop $id
    }
    if {$root ne ""} {
        file delete -force $root
    }
}

# --- files, as bytes ---------------------------------------------------------------

proc slurp {path} {
    set f [open $path rb]
    set bytes [read $f]
    close $f
    return $bytes
}

# Writes a file, and makes its directory if need be.
proc spill {path bytes} {
    file mkdir [file dirname $path]
    set f [open $path wb]
    puts -nonewline $f $bytes
    close $f
}
