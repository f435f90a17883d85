# Several test files at a time: each, under each protocol, is run by a process of its own, this script again.
#
# A file's output is shown when all those before it have been shown, so the order is always the same.

namespace eval jobs {
    # Arguments that every process gets, how many run at a time, and the first port of each of them, as far as it is free.
    variable common {}
    variable slots {}
    variable ports_each 0
    # Family and protocol of those that wait, in order; and of all, what they said until the end came.
    variable waiting {}
    variable said
    variable over
}

# Runs the files `units`, a list of {family protocol}, `count` at a time, and adds their counts up in `run`.
proc jobs::run {units count first_port last_port arguments} {
    variable common $arguments
    variable waiting $units
    variable ports_each [expr {($last_port - $first_port + 1) / $count}]
    variable slots {}
    variable said
    variable over
    for {set slot 0} {$slot < $count} {incr slot} {
        lappend slots [expr {$first_port + $slot * $ports_each}]
    }
    foreach unit $units {
        set said($unit) ""
    }
    fill
    foreach unit $units {
        while {![info exists over($unit)]} {
            vwait jobs::over
        }
        tell $unit
    }
}

# Starts processes until there are as many as there should be.
proc jobs::fill {} {
    variable slots
    variable waiting
    variable ports_each
    variable common
    while {$slots ne "" && $waiting ne ""} {
        set waiting [lassign $waiting unit]
        set slots [lassign $slots port]
        lassign $unit family protocol
        set own [list --jobs 1 --resp $protocol --ports $port-[expr {$port + $ports_each - 1}] $family]
        # None of them outlives this one.
        set pipe [open |[list setpriv --pdeathsig TERM -- [info nameofexecutable] $::argv0 {*}$common {*}$own \
            < /dev/null 2>@1]]
        chan configure $pipe -blocking 0 -encoding utf-8
        chan event $pipe readable [list jobs::hear $pipe $unit $port]
    }
}

proc jobs::hear {pipe unit port} {
    variable said
    variable over
    variable slots
    append said($unit) [read $pipe]
    if {[chan eof $pipe]} {
        # What its exit code says stands in its last line, too.
        catch {close $pipe}
        lappend slots $port
        set over($unit) 1
        fill
    }
}

# Shows what one of them said, and adds its counts up. One without counts did not come to its end.
proc jobs::tell {unit} {
    variable said
    foreach line [split [string trimright $said($unit) \n] \n] {
        if {[regexp {^(\d+) passed, (\d+) failed$} $line all good bad]} {
            set counted 1
            incr run::passed $good
            incr run::failed $bad
        } elseif {[regexp {^(\d+) skipped \(} $line all count]} {
            incr run::skipped $count
        } else {
            puts $line
        }
    }
    if {![info exists counted]} {
        puts "ABORTED [join $unit /]"
        incr run::failed
    }
}
