//! A thread with a run time of its own, for what must go on whatever the instances cost: probes, Leases, statuses.

use std::{io, thread};

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;

/// The system grants no thread, or no file handles for it.
#[derive(Debug, thiserror::Error)]
#[error("the thread {name} cannot be started: {source}")]
pub struct ThreadError {
    name: String,
    source: io::Error,
}

/// Lives until it is dropped; what runs on it then is aborted.
#[derive(Debug)]
pub struct OwnThread {
    handle: Handle,
    ended: CancellationToken,
}

impl OwnThread {
    /// Starts a thread of that name.
    ///
    /// # Errors
    /// See [`ThreadError`].
    pub fn start(name: &str) -> Result<Self, ThreadError> {
        let failed = |source| ThreadError { name: name.to_owned(), source };
        let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (handle, ended) = (runtime.handle().clone(), CancellationToken::new());
        let until = ended.clone();
        thread::Builder::new().name(name.to_owned()).spawn(move || runtime.block_on(until.cancelled())).map_err(failed)?;
        Ok(Self { handle, ended })
    }

    /// Where to spawn what is to run on it.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Runs a constructor on this thread's behalf: the tasks and sockets that it begins belong to this thread.
    pub fn on<T>(&self, begin: impl FnOnce() -> T) -> T {
        let _entered = self.handle.enter();
        begin()
    }
}

impl Drop for OwnThread {
    fn drop(&mut self) {
        self.ended.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The only other thread is busy: without one of its own, the answer would never come.
    #[tokio::test]
    async fn what_runs_on_it_goes_on_while_the_others_are_busy() {
        let own = OwnThread::start("own").unwrap();
        let (ask, asked) = tokio::sync::oneshot::channel();
        let (answer, answered) = std::sync::mpsc::channel();
        let name = own.on(|| {
            tokio::spawn(async move {
                let question: u8 = asked.await.unwrap();
                answer.send(question + 1).unwrap();
                thread::current().name().map(ToOwned::to_owned)
            })
        });
        ask.send(6).unwrap();
        assert_eq!(answered.recv(), Ok(7), "received while this thread runs no other task");
        assert_eq!(name.await.unwrap().as_deref(), Some("own"));
    }
}
