# What the server writes to its log when it dies, or is stuck.

# Waits for a line in the log.
proc logged {pattern} {
    eventually "\[string match [list *$pattern*] \[server::log \$run::server\]\]"
}

# Sends a command without waiting for the reply, which [hear] reads.
proc tell {args} {
    resp::send [run::connection A] $args
}

proc hear {} {
    return [resp::read [run::connection A]]
}

proc times_logged {text} {
    return [regexp -all -- $text [server::log $run::server]]
}

# A report that is whole: the stack of each thread, once.
proc report_is_whole {} {
    logged "=== REDIS BUG REPORT END"
    same 1 [times_logged "=== REDIS BUG REPORT START: Cut & paste starting from here ==="] "beginnings of a report"
    same 1 [times_logged "------ STACK TRACE ------"] "stack traces"
    same 1 [times_logged "------ STACK TRACE DONE ------"] "ends of stack traces"
    same 0 [times_logged "Crashed running signal handler"] "reports that crashed"
}

check "a wrong access to memory is reported" -server {--crash-memcheck-enabled no} {
    ask SET some value
    catch {ask DEBUG SEGFAULT}
    same 1 [server::wait_exit $run::server] "it has ended"
    report_is_whole
    logged "crashed by signal: 11"
    logged "Accessing address: 0x"
    logged {argv\[0\]: '"DEBUG"'}
    logged {argv\[1\]: '"SEGFAULT"'}
    logged "------ REGISTERS ------"
    logged "------ INFO OUTPUT ------*used_memory:"
    logged "------ CLIENT LIST OUTPUT ------*id=* addr=127.0.0.1:* cmd=debug"
}

check "memory is tested if that is wished" -server {--crash-memcheck-enabled yes} {
    catch {ask DEBUG SEGFAULT}
    same 1 [server::wait_exit $run::server] "it has ended"
    report_is_whole
    logged "Fast memory test PASSED"
}

check "a signal from outside is reported while a command runs" -server {--crash-memcheck-enabled no} {
    tell DEBUG SLEEP 10
    after 200
    server::signal $run::server ABRT
    same 1 [server::wait_exit $run::server] "it has ended"
    report_is_whole
    logged "crashed by signal: 6"
    logged "Killed by PID: "
}

check "nothing is reported if that is not wished" -server {--crash-log-enabled no} {
    catch {ask DEBUG SEGFAULT}
    same 1 [server::wait_exit $run::server] "it has ended"
    same 0 [times_logged "BUG REPORT"] reports
}

check "SIGALRM asks for the stacks, and the server goes on" {
    tell DEBUG SLEEP 0.6
    after 100
    server::signal $run::server ALRM
    logged "Received SIGALRM"
    expect +OK [hear]
    expect +PONG [ask PING]
}

check "the watchdog reports a command that takes long" {
    expect +OK [ask CONFIG SET watchdog-period 200]
    expect +OK [ask DEBUG SLEEP 1]
    logged "--- WATCHDOG TIMER EXPIRED ---"
    expect +OK [ask CONFIG SET watchdog-period 0]
    same 0 [lindex [ask CONFIG GET watchdog-period] 1 1 1] period
    expect +PONG [ask PING]
}

check "a period that is too short for the watchdog is made longer" {
    expect +OK [ask CONFIG SET watchdog-period 1]
    same 200 [lindex [ask CONFIG GET watchdog-period] 1 1 1] period
    expect +OK [ask CONFIG SET watchdog-period 0]
}

check "an assertion that fails is reported" -only cachestorm -server {--crash-memcheck-enabled no --use-exit-on-panic yes} {
    catch {ask DEBUG ASSERT}
    same 1 [server::wait_exit $run::server] "it has ended"
    report_is_whole
    logged "=== ASSERTION FAILED ==="
    logged {argv\[0\] = "DEBUG"}
    logged {argv\[1\] = "ASSERT"}
}

check "a panic is reported" -server {--crash-memcheck-enabled no} {
    catch {ask DEBUG PANIC}
    same 1 [server::wait_exit $run::server] "it has ended"
    report_is_whole
    logged "Guru Meditation: "
}

check "data of users can be kept out" -server {--crash-memcheck-enabled no --hide-user-data-from-log yes} {
    catch {ask DEBUG SEGFAULT}
    same 1 [server::wait_exit $run::server] "it has ended"
    report_is_whole
    logged {argv\[0\]: '"DEBUG"'}
    logged {argv\[1\]: \*redacted\*}
    logged "hide-user-data-from-log is on, skip logging stack content to avoid spilling PII"
    same 0 [times_logged SEGFAULT] "arguments shown"
}

# Asks what came with the server that takes this one's place.
proc ask_next {args} {
    eventually {[run::disconnect; catch {ask PING} ::pong] == 0 && $::pong eq "+ PONG"}
    return [ask {*}$args]
}

check "DEBUG RESTART saves, and starts again" -server {--save "3600 1000"} {
    ask SET some value
    catch {ask DEBUG RESTART 10}
    expect {"value"} [ask_next GET some]
    same 1 [server::alive $run::server] "it is the same process"
    expect {/^-ERR .*integer/} [ask DEBUG RESTART soon]
}

check "DEBUG CRASH-AND-RECOVER saves nothing, and starts again" -server {--save "3600 1000" --appendonly no} {
    ask SET some value
    catch {ask DEBUG CRASH-AND-RECOVER}
    expect nil [ask_next GET some]
    same 1 [server::alive $run::server] "it is the same process"
}

check "DEBUG OOM ends the server" -server {--crash-memcheck-enabled no} {
    catch {ask DEBUG OOM}
    logged "Out Of Memory allocating 9223372036854775807 bytes!"
    same 1 [server::wait_exit $run::server] "it has ended"
}
