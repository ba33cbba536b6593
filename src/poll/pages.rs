//! The pages of one listing as they come, with credentials that are renewed in time, and asked for again when one fails on the way.

use std::time::{Duration, Instant};

use super::page_retries::PageRetries;
use crate::api::conditions::{Problem, Remedy};
use crate::auth::access::Access;
use crate::cpu::OverShare;
use crate::fetch::listing::{PageReader, Step};
use crate::fetch::page::Page;

/// A descending list is read whole before its oldest record is sent first, up to this many bytes of pages, or fewer while memory is short:
/// a job that holds pages must not wait for the memory of another one.
const MAX_REVERSED: usize = 64 * 1024 * 1024;

/// No page waits longer for CPU time.
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// How soon it is looked again whether it still has to.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// In which order pages and their records are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// As they come.
    Forward,
    /// From the last record of the last page on; a list of more than 64 MiB in pieces, and so is one for which there is no memory at the
    /// moment.
    Reversed,
}

/// The pages of one listing.
pub struct Pages<'l> {
    /// The listing.
    pub listing: PageReader<'l>,
    direction: Direction,
    retries: PageRetries,
    gathered: Vec<Page>,
    over_share: Option<OverShare>,
}

impl<'l> Pages<'l> {
    /// Reads `listing` in a direction.
    pub fn new(listing: PageReader<'l>, direction: Direction, retries: PageRetries) -> Self {
        Self { listing, direction, retries, gathered: Vec::new(), over_share: None }
    }

    /// The next page, its end, or 304.
    ///
    /// # Errors
    /// As [`PageReader::next_page`], for what does not pass within [some tries](PageRetries); a 401 that a renewed credential does not
    /// cure.
    pub async fn next(&mut self, access: &mut Access<'_>) -> Result<Step, Problem> {
        if self.direction == Direction::Forward {
            return self.ask(access).await;
        }
        if self.gathered.is_empty() {
            let mut bytes = 0;
            while bytes <= MAX_REVERSED && self.listing.has_next() && (self.gathered.is_empty() || self.listing.has_room()) {
                match self.ask(access).await? {
                    Step::Page(page) => {
                        bytes += page.body_len();
                        self.gathered.push(page);
                    }
                    step @ (Step::NotModified | Step::TokenExpired | Step::BeginAgain) => return Ok(step),
                    Step::End => break,
                }
            }
            if self.listing.is_cut_off() {
                // What is missing is older, and would be sent after what is there.
                self.gathered.clear();
            }
        }
        Ok(self.gathered.pop().map_or(Step::End, Step::Page))
    }

    /// What this instance used when it last waited, because it was more than its fair share of CPU time.
    pub fn over_share(&self) -> Option<OverShare> {
        self.over_share
    }

    /// Waits while this instance is over its fair share of CPU time. It does not while it holds pages, whose memory others may want.
    async fn wait_for_share(&mut self) {
        let began = Instant::now();
        while self.gathered.is_empty()
            && began.elapsed() < LONGEST_WAIT
            && let Some(over) = self.listing.over_share()
        {
            self.over_share = Some(over);
            // What others use changes meanwhile.
            tokio::time::sleep(over.wait.clamp(LOOK_AGAIN / 10, LOOK_AGAIN)).await;
        }
    }

    /// The next page, asked for as often as its failures may pass by themselves.
    async fn ask(&mut self, access: &mut Access<'_>) -> Result<Step, Problem> {
        self.wait_for_share().await;
        loop {
            let problem = match ask(&mut self.listing, access).await {
                Ok(step) => {
                    self.retries.page_came();
                    return Ok(step);
                }
                Err(problem) => problem,
            };
            let Some(wait) = self.retries.after(&problem, Instant::now()) else { return Err(problem) };
            tracing::debug!(reason = %problem.reason, ?wait, "retrying a page");
            tokio::time::sleep(wait).await;
        }
    }
}

/// The next page, with credentials that are renewed in time, and once more when they were refused.
async fn ask(listing: &mut PageReader<'_>, access: &mut Access<'_>) -> Result<Step, Problem> {
    if let Some(auth) = access.renew_in_time().await? {
        listing.set_auth(auth);
    }
    let step = match listing.next_page().await {
        Err(problem) if problem.remedy == Some(Remedy::RenewedCredentials) => {
            listing.set_auth(access.renew_refused(problem).await?);
            listing.next_page().await.map_err(|problem| access.refused_again(problem))
        }
        step => step,
    }?;
    access.note_accepted();
    Ok(step)
}
