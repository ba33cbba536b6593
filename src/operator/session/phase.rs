//! Who has an instance: no one, the engine, or the engine for the last time. Pure.
//!
//! ```text
//!             Opened                 Released
//!   Idle ───────────────> Held ───────────────> Idle
//!    │                     │
//!    │ End                 │ End
//!    v       Released      v
//!   Ended <───────────── Ending
//! ```
//!
//! While the engine has an instance, its state changes in memory and is stored by compare-and-swap, so it matters whether someone else
//! wrote the stored form meanwhile ([`Stored`]). While no one has it, memory holds nothing that a foreign write could invalidate: there is
//! no such thing as an idle instance that is lost.

use crate::state::InstanceState;

/// Where an instance is between the reconciler, which reads it, the engine, which runs it, and the writer, which stores it.
#[derive(Debug, Default)]
pub(super) enum SessionPhase {
    /// No one runs it, and only its conditions are written. Entered at its first sight, and when the engine has let go of it. Left when its
    /// state was read for the engine, or when the operator is done with it.
    #[default]
    Idle,
    /// The engine has it or is about to take it. Entered when its state was read. Left when the engine has let go of it, or when the
    /// operator is done with it before that.
    Held(Held),
    /// The operator is done with it, and the engine is not: what it has accepted is still stored, but no conditions are written. Left when
    /// the engine has let go of it.
    Ending(Held),
    /// Nothing is done for it any more. Never left: an instance that comes back gets a new session.
    Ended,
}

/// What the engine has, or is about to take.
#[derive(Debug)]
pub(super) struct Held {
    /// The state as it was read, until the engine takes it.
    read: Option<Box<InstanceState>>,
    stored: Stored,
}

/// Whose the stored form is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stored {
    /// It is what this process read or wrote last.
    Ours,
    /// Someone else wrote it: this process stores nothing over it.
    Foreign,
}

/// What happens to an instance.
#[derive(Debug)]
pub(super) enum Event {
    /// Its state was read for the engine.
    Opened(Box<InstanceState>),
    /// The engine asks for the state that was read.
    Taken,
    /// The writer found a stored form that someone else wrote.
    Overwritten,
    /// The engine has let go of it.
    Released,
    /// The operator is done with it: it is deleted, or another replica's.
    End,
}

/// What follows from an event outside of the phase.
#[derive(Debug)]
pub(super) enum Effect {
    /// Nothing.
    None,
    /// The engine gets this state.
    HandOver(Box<InstanceState>),
    /// The reconciler is to read the instance again. Asked for once for each time the state was read.
    ReadAgain,
    /// The session is over.
    Forget,
}

impl SessionPhase {
    /// The next phase. An event that means nothing in a phase leaves it as it is.
    pub(super) fn step(&mut self, event: Event) -> Effect {
        let (next, effect) = match (std::mem::take(self), event) {
            (Self::Idle | Self::Held(_), Event::Opened(state)) => {
                (Self::Held(Held { read: Some(state), stored: Stored::Ours }), Effect::None)
            }
            (Self::Held(mut held), Event::Taken) => {
                let effect = held.hand_over();
                (Self::Held(held), effect)
            }
            // The engine gets its input in order: what it is to run, it takes before it lets go.
            (Self::Ending(mut held), Event::Taken) => {
                let effect = held.hand_over();
                (Self::Ending(held), effect)
            }
            (Self::Held(mut held), Event::Overwritten) => {
                let effect = held.overwritten();
                (Self::Held(held), effect)
            }
            (Self::Ending(mut held), Event::Overwritten) => {
                let effect = held.overwritten();
                (Self::Ending(held), effect)
            }
            (Self::Held(_), Event::Released) => (Self::Idle, Effect::None),
            (Self::Ending(_), Event::Released) | (Self::Idle, Event::End) => (Self::Ended, Effect::Forget),
            (Self::Held(held), Event::End) => (Self::Ending(held), Effect::None),
            (
                same @ (Self::Idle | Self::Ending(_) | Self::Ended),
                Event::Opened(_) | Event::Taken | Event::Overwritten | Event::Released | Event::End,
            ) => (same, Effect::None),
        };
        *self = next;
        effect
    }

    /// The engine has it, or is about to take it.
    pub(super) fn is_held(&self) -> bool {
        matches!(self, Self::Held(_) | Self::Ending(_))
    }

    /// The engine has it, and someone else wrote its stored form.
    pub(super) fn is_overwritten(&self) -> bool {
        matches!(self, Self::Held(held) | Self::Ending(held) if held.stored == Stored::Foreign)
    }

    /// No conditions are written any more.
    pub(super) fn is_ending(&self) -> bool {
        matches!(self, Self::Ending(_) | Self::Ended)
    }
}

impl Held {
    fn hand_over(&mut self) -> Effect {
        self.read.take().map_or(Effect::None, Effect::HandOver)
    }

    fn overwritten(&mut self) -> Effect {
        match std::mem::replace(&mut self.stored, Stored::Foreign) {
            Stored::Ours => Effect::ReadAgain,
            Stored::Foreign => Effect::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An event of the world; each state that is read has a number of its own, by which it is known again.
    #[derive(Clone, Copy, Debug)]
    enum Happening {
        Open,
        Take,
        Overwrite,
        Release,
        End,
    }

    fn happening() -> impl Strategy<Value = Happening> {
        use Happening::{End, Open, Overwrite, Release, Take};
        prop_oneof![4 => Just(Open), 4 => Just(Take), 2 => Just(Overwrite), 4 => Just(Release), 1 => Just(End)]
    }

    proptest! {
        /// Against what the three parts may rely on, written without phases.
        #[test]
        fn whatever_happens_the_parts_can_rely_on_it(happenings in prop::collection::vec(happening(), 0..60)) {
            let mut phase = SessionPhase::default();
            // What a book-keeper knows: the state that waits, whether the engine has the instance, whether it was overwritten since it was
            // opened, and whether the operator is done.
            let (mut waits, mut held, mut overwritten, mut done, mut forgotten) = (None, false, false, false, 0);
            for (number, happening) in happenings.into_iter().enumerate() {
                let event = match happening {
                    Happening::Open => Event::Opened(Box::new(InstanceState::new(number.to_string()))),
                    Happening::Take => Event::Taken,
                    Happening::Overwrite => Event::Overwritten,
                    Happening::Release => Event::Released,
                    Happening::End => Event::End,
                };
                let effect = phase.step(event);
                match happening {
                    // The operator does not open what it is done with.
                    Happening::Open if !done => (waits, held, overwritten) = (Some(number.to_string()), true, false),
                    Happening::Take => {
                        let got = if let Effect::HandOver(state) = &effect { Some(state.uid.clone()) } else { None };
                        prop_assert_eq!(got, waits.take(), "the latest state, once, and before the end too");
                    }
                    Happening::Overwrite => {
                        let news = held && !overwritten;
                        prop_assert_eq!(matches!(effect, Effect::ReadAgain), news, "asked for once");
                        overwritten |= held;
                    }
                    Happening::Release => (waits, held, overwritten) = (None, false, false),
                    Happening::End => done = true,
                    Happening::Open => {}
                }
                forgotten += usize::from(matches!(effect, Effect::Forget));
                prop_assert_eq!(phase.is_held(), held);
                prop_assert_eq!(phase.is_overwritten(), overwritten, "and never while no one has it");
                prop_assert_eq!(phase.is_ending(), done);
                prop_assert_eq!(forgotten, usize::from(done && !held), "forgotten once both are done, and once");
            }
        }
    }
}
