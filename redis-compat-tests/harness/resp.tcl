# A RESP client, and a notation for replies.
#
# A reply is kept as a tree: a two-element list {type payload}. Type is the first byte of the reply on the wire
# (+ - : $ * % ~ > , # ( =); the RESP2 nulls are `nil` ($-1) and `nil*` (*-1), the RESP3 null is `nil`. Payload is a
# byte string, or for aggregates a list of trees (a map's keys and values alternate).
#
# The notation writes such a tree on one line, and is what the tests expect replies in:
#
#     +OK            simple string        -ERR what   error            :5        integer
#     "bulk\r\n"     bulk string          nil         null             nil*      null array (null in RESP3)
#     [:1 "a"]       array                {"k" :1}    map              ~["a"]    set, in any order
#     >["a"]         push                 ,1.5        double           #t #f     boolean
#     (123           big number           ="text"     verbatim text
#
# and, for expectations only:
#
#     any            whatever comes       :3..9       an integer in that range
#     /regexp/       a string, simple string or error (with its leading -) that matches
#     ?[ … ]         an array (or set) with these members in any order
#     ?{ … }         a map with these pairs in any order
#     [ … ... ]      an array that begins so
#     closed         the server closed the connection
#
# + and - take the rest of the line, or a quoted string where they stand inside an aggregate. Expectations are
# written once, for RESP3; `resp::project` turns a tree into what the same reply looks like under RESP2.

namespace eval resp {
    variable timeout 20000
    variable buffer
}

# --- the client -------------------------------------------------------------

proc resp::open {port {host 127.0.0.1}} {
    # On a busy machine the local ports may run out, held by connections closed within the last minute.
    for {set tries 0} {[catch {socket $host $port} c details]} {incr tries} {
        if {[lrange [dict get $details -errorcode] 0 1] ne "POSIX EADDRINUSE" || $tries == 600} {
            return -options $details $c
        }
        after 100
    }
    chan configure $c -blocking 0 -translation binary -buffering full
    set ::resp::buffer($c) ""
    return $c
}

proc resp::close {c} {
    unset -nocomplain ::resp::buffer($c) ::resp::wake($c)
    catch {::close $c}
}

# Sends bytes as they are. Large payloads are drained in the background by the event loop of the next read.
proc resp::raw {c bytes} {
    # A peer that has closed already shows itself at the next read.
    catch {
        puts -nonewline $c $bytes
        flush $c
    }
}

proc resp::encode {words} {
    set out "*[llength $words]\r\n"
    foreach w $words {
        append out "\$[string length $w]\r\n$w\r\n"
    }
    return $out
}

proc resp::send {c words} {
    raw $c [encode $words]
}

# Waits for more bytes; throws RESP CLOSED or RESP TIMEOUT.
proc resp::fill {c} {
    variable buffer
    variable timeout
    set chunk [some $c]
    if {$chunk eq "" && ![chan eof $c]} {
        set ::resp::wake($c) ""
        set timer [after $timeout [list set ::resp::wake($c) timeout]]
        chan event $c readable [list set ::resp::wake($c) readable]
        vwait ::resp::wake($c)
        after cancel $timer
        chan event $c readable {}
        if {$::resp::wake($c) eq "timeout"} {
            throw {RESP TIMEOUT} "no reply within $timeout ms"
        }
        set chunk [some $c]
    }
    if {$chunk eq "" && [chan eof $c]} {
        throw {RESP CLOSED} "connection closed by the server"
    }
    append buffer($c) $chunk
}

# What can be read now. A connection that was reset counts as closed.
proc resp::some {c} {
    if {[catch {::read $c 65536} chunk]} {
        throw {RESP CLOSED} $chunk
    }
    return $chunk
}

proc resp::line {c} {
    variable buffer
    while {[set end [string first "\r\n" $buffer($c)]] < 0} {
        fill $c
    }
    set text [string range $buffer($c) 0 $end-1]
    set buffer($c) [string range $buffer($c) $end+2 end]
    return $text
}

proc resp::bytes {c count} {
    variable buffer
    while {[string length $buffer($c)] < $count} {
        fill $c
    }
    set data [string range $buffer($c) 0 $count-1]
    set buffer($c) [string range $buffer($c) $count end]
    return $data
}

# Reads one reply; {closed {}} when the server has closed the connection.
proc resp::read {c} {
    try {
        return [tree $c]
    } trap {RESP CLOSED} {} {
        return {closed {}}
    }
}

proc resp::tree {c} {
    set head [line $c]
    set type [string index $head 0]
    set rest [string range $head 1 end]
    switch -exact -- $type {
        + - - - : - , - ( - # {
            return [list $type $rest]
        }
        _ {
            return {nil {}}
        }
        \$ - = {
            if {$rest == -1} {
                return {nil {}}
            }
            return [list $type [string range [bytes $c [expr {$rest + 2}]] 0 end-2]]
        }
        * - ~ - > - % {
            if {$rest == -1} {
                return {nil* {}}
            }
            set count [expr {$type eq "%" ? 2 * $rest : $rest}]
            set items {}
            for {set i 0} {$i < $count} {incr i} {
                lappend items [tree $c]
            }
            return [list $type $items]
        }
        default {
            throw {RESP GARBAGE} "not a reply: [quote $head]"
        }
    }
}

# --- showing a tree -----------------------------------------------------------

proc resp::quote {bytes} {
    set out ""
    foreach ch [split $bytes ""] {
        scan $ch %c code
        switch -exact -- $ch {
            \" { append out {\"} }
            \\ { append out {\\} }
            \n { append out {\n} }
            \r { append out {\r} }
            \t { append out {\t} }
            default {
                append out [expr {$code < 32 || $code > 126 ? [format {\x%02x} $code] : $ch}]
            }
        }
    }
    return "\"$out\""
}

proc resp::show {tree {nested 0}} {
    lassign $tree type payload
    switch -exact -- $type {
        + - - {
            return $type[expr {$nested ? [quote $payload] : $payload}]
        }
        : - , - ( - # {
            return $type$payload
        }
        \$ {
            return [quote $payload]
        }
        = {
            return =[quote [string range $payload 4 end]]
        }
        * - ~ - > - % {
            set items [lmap item $payload {show $item 1}]
            if {$type eq "%"} {
                return "{[join $items]}"
            }
            return "[string map {* {}} $type]\[[join $items]\]"
        }
        default {
            return $type
        }
    }
}

# --- reading the notation -----------------------------------------------------

# Splits a line into words as an inline command does: "…" with escapes, '…' raw, anything else up to a blank.
# `lookup` maps a $name to its value.
proc resp::words {text lookup} {
    set pos 0
    set words {}
    while {[regexp -indices -start $pos {\A\s*(?=\S)} $text at]} {
        set pos [expr {[lindex $at 1] + 1}]
        lappend words [word $text pos $lookup]
    }
    return $words
}

proc resp::word {text posName lookup} {
    upvar 1 $posName pos
    set rest [string range $text $pos end]
    if {[regexp {^"((?:[^"\\]|\\.)*)"} $rest all body]} {
        set value [unescape $body]
    } elseif {[regexp {^'([^']*)'} $rest all value]} {
    } elseif {[regexp {^\$([A-Za-z_]\w*)} $rest all name]} {
        set value [{*}$lookup $name]
    } elseif {[regexp {^\S+} $rest all]} {
        set value $all
    }
    incr pos [string length $all]
    return $value
}

# Only the escapes of the notation; the text is taken as bytes.
proc resp::unescape {body} {
    set out ""
    foreach {all hex ch plain} [regexp -all -inline {\\x([[:xdigit:]]{2})|\\(.)|([^\\]+)} $body] {
        if {$hex ne ""} {
            append out [format %c [scan $hex %x]]
        } elseif {$ch ne ""} {
            append out [string map [list n \n r \r t \t a \a b \b] $ch]
        } else {
            append out $plain
        }
    }
    return $out
}

proc resp::parse {text lookup} {
    set pos 0
    set tree [value $text pos $lookup 0]
    if {[string trim [string range $text $pos end]] ne ""} {
        error "bad expectation: $text"
    }
    return $tree
}

proc resp::value {text posName lookup nested} {
    upvar 1 $posName pos
    regexp -indices -start $pos {\A\s*} $text at
    set pos [expr {[lindex $at 1] + 1}]
    set rest [string range $text $pos end]
    if {[regexp {^([-+])"} $rest all type]} {
        incr pos
        return [list $type [word $text pos $lookup]]
    } elseif {!$nested && [regexp {^([-+])(.*)$} $rest all type payload]} {
        set tree [list $type [string trimright $payload]]
    } elseif {[regexp {^\+(\w+)} $rest all payload]} {
        set tree [list + $payload]
    } elseif {[regexp {^:(-?\d+)\.\.(-?\d+)} $rest all low high]} {
        set tree [list range [list $low $high]]
    } elseif {[regexp {^([:(])(-?\d+)} $rest all type payload]} {
        set tree [list $type $payload]
    } elseif {[regexp {^,([-+.\w]+)} $rest all payload]} {
        set tree [list , $payload]
    } elseif {[regexp {^#([tf])} $rest all payload]} {
        set tree [list # $payload]
    } elseif {[regexp {^[\"$]} $rest]} {
        return [list \$ [word $text pos $lookup]]
    } elseif {[regexp {^=\"} $rest]} {
        incr pos
        return [list = "txt:[word $text pos $lookup]"]
    } elseif {[regexp {^/((?:[^/\\]|\\.)*)/} $rest all payload]} {
        set tree [list re $payload]
    } elseif {[regexp {^([~>?]?)\[} $rest all type]} {
        incr pos [string length $all]
        return [list [expr {$type eq "" ? "*" : $type}] [members $text pos $lookup \]]]
    } elseif {[regexp {^(\??)\{} $rest all type]} {
        incr pos [string length $all]
        return [list $type% [members $text pos $lookup \}]]
    } elseif {[regexp {^(nil\*|nil|any|closed|\.\.\.)} $rest all type]} {
        set tree [list $type {}]
    } else {
        error "bad expectation at \"$rest\" in: $text"
    }
    incr pos [string length $all]
    return $tree
}

proc resp::members {text posName lookup end} {
    upvar 1 $posName pos
    set items {}
    while 1 {
        regexp -indices -start $pos {\A\s*} $text at
        set pos [expr {[lindex $at 1] + 1}]
        if {$pos >= [string length $text]} {
            error "missing $end in: $text"
        }
        if {[string index $text $pos] eq $end} {
            incr pos
            return $items
        }
        lappend items [value $text pos $lookup 1]
    }
}

# --- comparing ------------------------------------------------------------------

# What the expectation `tree`, written for RESP3, is under the protocol of that number.
proc resp::project {tree protocol} {
    lassign $tree type payload
    switch -exact -- $type {
        * - ~ - > - % - ? - ?% {
            if {$protocol == 2} {
                set type [dict get {* * > * % * ~ ? ? ? ?% ?%} $type]
            }
            return [list $type [lmap item $payload {project $item $protocol}]]
        }
        nil* {
            return [list [expr {$protocol == 3 ? "nil" : "nil*"}] {}]
        }
    }
    if {$protocol == 3} {
        return $tree
    }
    switch -exact -- $type {
        , - ( {
            return [list \$ $payload]
        }
        = {
            return [list \$ [string range $payload 4 end]]
        }
        # {
            return [list : [expr {$payload eq "t"}]]
        }
        default {
            return $tree
        }
    }
}

proc resp::match {expected got} {
    lassign $expected type payload
    lassign $got gtype gpayload
    switch -exact -- $type {
        any {
            return [expr {$gtype ne "closed"}]
        }
        range {
            lassign $payload low high
            return [expr {$gtype eq ":" && $low <= $gpayload && $gpayload <= $high}]
        }
        re {
            if {$gtype eq "="} {
                set gpayload [string range $gpayload 4 end]
            }
            return [expr {
                $gtype in {+ $ =} ? [regexp -- $payload $gpayload]
                : $gtype eq "-" ? [regexp -- $payload -$gpayload] : 0
            }]
        }
        ? {
            return [expr {$gtype in {* ~} && [permuted $payload $gpayload]}]
        }
        ~ {
            return [expr {$gtype eq "~" && [permuted $payload $gpayload]}]
        }
        ?% {
            return [expr {$gtype in {* %} && [permuted [pairs $payload] [pairs $gpayload]]}]
        }
        * - > - % {
            if {$gtype ne $type} {
                return 0
            }
            if {[lindex $payload end 0] eq "..."} {
                set payload [lrange $payload 0 end-1]
                set gpayload [lrange $gpayload 0 [llength $payload]-1]
            }
            if {[llength $payload] != [llength $gpayload]} {
                return 0
            }
            foreach item $payload candidate $gpayload {
                if {![match $item $candidate]} {
                    return 0
                }
            }
            return 1
        }
        default {
            return [expr {$type eq $gtype && $payload eq $gpayload}]
        }
    }
}

# Whether the trees match in some order. Each expectation takes the first reply that fits: enough where they do not
# overlap.
proc resp::permuted {expected got} {
    if {[llength $expected] != [llength $got]} {
        return 0
    }
    foreach item $expected {
        set at 0
        while {$at < [llength $got] && ![match $item [lindex $got $at]]} {
            incr at
        }
        if {$at == [llength $got]} {
            return 0
        }
        set got [lreplace $got $at $at]
    }
    return 1
}

proc resp::pairs {items} {
    return [lmap {key value} $items {list * [list $key $value]}]
}
