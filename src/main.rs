//! The server's program: flags, settings, start, exit code.

use std::process::ExitCode;

use cachestorm::config::Settings;
use cachestorm::keyspace::alloc::Allocator;
use cachestorm::reactor::Reactor;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn main() -> ExitCode {
    let mut settings = Settings::default();
    settings.port = std::env::args().nth(1).and_then(|s| s.parse().ok()).unwrap_or(6380);
    let mut reactor = Reactor::new(settings, None, fastrand::u64(..)).unwrap();
    reactor.run().unwrap();
    ExitCode::SUCCESS
}
