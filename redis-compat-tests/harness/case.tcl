# What a test file is made of: cases.
#
#     case "GETRANGE counts from the end" {
#         SET k "Hello"        -> +OK
#         GETRANGE k -3 -1     -> "llo"
#         GETRANGE k           -> -ERR wrong number of arguments for 'getrange' command
#     }
#
# A case is a transcript: each line sends a command and expects a reply, both in the notation of resp.tcl. It starts
# on a new connection to the file's server, in RESP2 or RESP3, with an empty keyspace. Lines may also be
#
#     B: PING -> +PONG       on another connection, opened when first named
#     id := CLIENT ID        the reply's payload is kept as $id, for later commands and expectations
#     -> :1                  one more reply on the connection used last
#     !raw "PING\r\n" -> +PONG      bytes sent as they are; without -> no reply is read
#     !send GET k            a command whose reply is read by later lines
#     [2] LINE, [3] LINE     only under that protocol
#     # comment
#
# $name stands for a variable of the test file. Options before the transcript:
#
#     -config {name value …}   CONFIG SET before the case and restored after it
#     -server {flags}          the case runs on a server of its own, started with these flags
#     -needs {command …}       skipped while the server lacks one of the commands
#     -only cachestorm|redis   for what the two do differently, or only one does
#
# `check NAME ?options? CODE` is a case written in Tcl, with `ask`, `expect`, `same` and the procs of server.tcl.

namespace eval run {
    variable family ""
    variable protocol 2
    variable pattern *
    variable passed 0
    variable failed 0
    variable skipped 0
    variable server ""
    variable connections {}
    variable problems {}
    variable replies {}
}

proc case {name args} {
    run::one $name [lrange $args 0 end-1] [list run::transcript [lindex $args end]]
}

proc check {name args} {
    run::one $name [lrange $args 0 end-1] [list uplevel #0 [lindex $args end]]
}

proc run::one {name options body} {
    variable family
    variable protocol
    variable pattern
    variable passed
    variable failed
    variable skipped
    variable server
    variable problems {}
    set options [dict merge {-config {} -server {} -needs {} -only any} $options]
    set title "$family/$protocol: $name"
    if {![string match $pattern $title]} {
        return
    }
    set shared $server
    set saved {}
    try {
        if {[skip $options]} {
            incr skipped
            return
        }
        if {[dict get $options -server] ne ""} {
            set server [server::start {*}[dict get $options -server]]
        } else {
            ask FLUSHALL
            disconnect
        }
        set saved [configure [dict get $options -config]]
        eval $body
    } on error {message details} {
        lappend problems "    $message"
        if {[lindex [dict get $details -errorcode] 0] ne "RESP"} {
            lappend problems "    [string map {\n "\n    "} [dict get $details -errorinfo]]"
        }
    } finally {
        disconnect
        if {$server ne $shared} {
            server::stop $server
            set server $shared
        } elseif {[server::alive $server]} {
            foreach {setting value} $saved {
                ask CONFIG SET $setting $value
            }
            disconnect
        }
    }
    if {$problems eq ""} {
        incr passed
    } else {
        incr failed
        puts "FAILED $title\n[join $problems \n]"
        restart_if_dead
    }
}

proc run::skip {options} {
    set only [dict get $options -only]
    if {$only ne "any" && ($only eq "cachestorm") != $server::cachestorm} {
        return 1
    }
    foreach command [dict get $options -needs] {
        if {[lindex [ask COMMAND INFO $command] 1 0 0] ni {* ~}} {
            return 1
        }
    }
    return 0
}

# Applies settings; returns the values to restore, in reverse.
proc run::configure {settings} {
    set saved {}
    foreach {setting value} $settings {
        set old [lindex [ask CONFIG GET $setting] 1 1 1]
        set saved [list $setting $old {*}$saved]
        expect +OK [ask CONFIG SET $setting $value] "CONFIG SET $setting $value"
    }
    disconnect
    return $saved
}

# A crash is one failed case, not a failure of all that follow.
proc run::restart_if_dead {} {
    variable server
    if {![server::alive $server]} {
        puts "    the server is gone; the end of its log:\n[string range [server::log $server] end-2000 end]"
        server::stop $server
        set server [server::start]
    }
}

# --- connections -----------------------------------------------------------------

# The connection of that name, opened on first use.
proc run::connection {name} {
    variable connections
    variable server
    variable protocol
    variable speaks
    if {![dict exists $connections $name]} {
        dict set connections $name [set c [resp::open $server::port($server)]]
        set speaks($c) $protocol
        if {$protocol == 3} {
            resp::send $c {HELLO 3}
            set hello [resp::read $c]
            if {[string match {- {NOAUTH *}} $hello]} {
                set speaks($c) 2
            } elseif {[lindex $hello 0] ne "%"} {
                error "HELLO 3 failed: [resp::show $hello]"
            }
        }
    }
    return [dict get $connections $name]
}

proc run::disconnect {} {
    variable connections
    foreach {name c} $connections {
        resp::close $c
    }
    set connections {}
    array unset ::run::speaks
}

# Sends a command on connection A; its reply as a tree.
proc ask {args} {
    set c [run::connection A]
    resp::send $c $args
    return [resp::read $c]
}

# Records a problem unless the tree is what the notation says.
proc expect {notation got {what ""}} {
    set lookup {apply {name {set ::$name}}}
    set expected [resp::project [resp::parse $notation $lookup] $run::protocol]
    run::verdict $expected $got $notation $what
}

# Records a problem unless two strings are equal.
proc same {expected got {what ""}} {
    if {$expected ne $got} {
        run::problem $what $expected $got
    }
}

# Asks every 10 ms until `code` (evaluated globally) is true, at most 30 s: the machine may be slow, or busy.
proc eventually {code} {
    set begun [clock seconds]
    while {[clock seconds] - $begun <= 30} {
        if {[uplevel #0 [list expr $code]]} {
            return
        }
        after 10
    }
    run::problem "never came true" $code ""
}

proc run::verdict {expected got notation what} {
    if {![resp::match $expected $got]} {
        problem $what $notation [resp::show $got]
    }
}

proc run::problem {what expected got} {
    variable problems
    set cut {text {expr {[string length $text] > 400 ? "[string range $text 0 400]…" : $text}}}
    lappend problems "    $what"
    lappend problems "        expected [apply $cut $expected]"
    lappend problems "        got      [apply $cut $got]"
}

# --- transcripts ------------------------------------------------------------------

proc run::lookup {name} {
    variable kept
    if {[info exists kept($name)]} {
        return $kept($name)
    }
    return [set ::$name]
}

# Keeps in mind which protocol a connection speaks when a transcript changes it.
proc run::follow {c words got} {
    variable speaks
    lassign $words command version
    if {[string equal -nocase $command HELLO] && $version in {2 3} && [lindex $got 0] ne "-"} {
        set speaks($c) $version
    } elseif {[string equal -nocase $command RESET] && $got eq "+ RESET"} {
        set speaks($c) 2
    }
}

proc run::transcript {text} {
    variable kept
    variable current A
    array unset kept
    foreach line [split $text \n] {
        set line [string trim $line]
        if {$line eq "" || [string index $line 0] eq "#"} {
            continue
        }
        try {
            step $line
        } trap RESP {message details} {
            return -options $details "$line\n        $message"
        }
    }
}

# Does one line of a transcript.
proc run::step {full} {
    variable protocol
    variable speaks
    variable kept
    variable current
    set line $full
    if {[regexp {^\[([23])\]\s+(.*)$} $line all only line] && $only != $protocol} {
        return
    }
    set keep ""
    set notation ""
    regexp {^([A-Z]): (.*)$} $line all current line
    regexp {^([a-z]\w*) := (.*)$} $line all keep line
    regexp {^(.*?)\s*-> (.*)$} $line all line notation
    set c [connection $current]
    set words {}
    if {[regexp {^!raw (.*)$} $line all line]} {
        resp::raw $c [join [resp::words $line run::lookup] ""]
    } elseif {[regexp {^!send (.*)$} $line all line]} {
        resp::send $c [resp::words $line run::lookup]
    } elseif {$line ne ""} {
        resp::send $c [set words [resp::words $line run::lookup]]
        if {$notation eq "" && $keep eq ""} {
            error "no expectation: $full"
        }
    }
    if {$keep ne ""} {
        set kept($keep) [lindex [resp::read $c] 1]
    } elseif {$notation ne ""} {
        set got [resp::read $c]
        follow $c $words $got
        verdict [resp::project [resp::parse $notation run::lookup] $speaks($c)] $got $notation $full
    }
}
