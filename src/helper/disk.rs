//! The thread that waits for disks: it makes files durable and frees what was removed, in the order in which it is asked.
//!
//! The reactor writes to the append-only file itself, which costs no more than a copy into the page cache, and leaves to this
//! thread what may take long. A result comes back as a job; see [`super`].

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use super::Outbox;

/// What to do with the result of a sync.
type Then<S> = Box<dyn FnOnce(&mut S, io::Result<()>) + Send>;

enum Work<S> {
    Sync(Arc<File>, Then<S>),
    /// Closing the last handle of a removed file frees its blocks, which takes time.
    Close(Arc<File>),
}

/// The reactor's end. The thread ends when this is dropped and all work is done.
pub struct Disk<S> {
    work: Sender<Work<S>>,
}

impl<S: 'static> Disk<S> {
    /// Starts the thread. Results go to `outbox`.
    ///
    /// # Errors
    /// If the system allows no more threads.
    pub fn start(outbox: Outbox<S>) -> io::Result<Disk<S>> {
        let (work, orders) = channel();
        thread::Builder::new().name("disk".to_string()).spawn(move || serve(&orders, &outbox))?;
        Ok(Disk { work })
    }

    /// Makes what has been written to a file durable, then lets the reactor know how it went.
    pub fn sync(&self, file: &Arc<File>, then: impl FnOnce(&mut S, io::Result<()>) + Send + 'static) {
        self.order(Work::Sync(Arc::clone(file), Box::new(then)));
    }

    /// Closes a file behind all that was asked for before.
    pub fn close(&self, file: Arc<File>) {
        self.order(Work::Close(file));
    }

    fn order(&self, work: Work<S>) {
        if self.work.send(work).is_err() {
            log::error!("The thread for disks has died");
        }
    }
}

fn serve<S: 'static>(orders: &Receiver<Work<S>>, outbox: &Outbox<S>) {
    for work in orders {
        match work {
            Work::Sync(file, then) => {
                let result = file.sync_data();
                outbox.send(move |state| then(state, result));
            }
            Work::Close(file) => drop(file),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::mailbox;
    use super::*;
    use mio::{Events, Poll, Token, Waker};
    use std::io::Write;

    #[test]
    fn work_is_done_in_order_and_reported() {
        let mut poll = Poll::new().expect("a poll");
        let waker = Arc::new(Waker::new(poll.registry(), Token(7)).expect("a waker"));
        let (outbox, mut inbox) = mailbox::<Vec<bool>>(waker);
        let disk = Disk::start(outbox).expect("a thread");
        let path = std::env::temp_dir().join(format!("cachestorm-disk-{}", std::process::id()));
        let file = Arc::new(File::create(&path).expect("a file"));
        (&*file).write_all(b"abc").expect("it is written");
        disk.sync(&file, |done, result| done.push(result.is_ok()));
        std::fs::remove_file(&path).expect("it is removed");
        disk.close(Arc::clone(&file));
        disk.sync(&file, |done, result| done.push(result.is_ok()));
        let (mut done, mut events) = (Vec::new(), Events::with_capacity(8));
        while done.len() < 2 {
            poll.poll(&mut events, None).expect("the poll waits");
            inbox.run(&mut done);
        }
        assert_eq!(done, [true, true]);
    }
}
