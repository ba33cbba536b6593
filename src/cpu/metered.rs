//! Measures what a job costs, all its steps together: inflating, reading, delivering.

use std::future::poll_fn;
use std::pin::pin;
use std::time::{Duration, Instant};

use super::{CpuBudget, clock};
use crate::api::identity::InstanceRef;

/// What a job costs is noted in steps of this much; one that costs less is not noted at all.
const STEP: Duration = Duration::from_millis(1);

/// Does a job of an instance, measures what it costs, and notes that in a budget.
///
/// While its steps are short, they are measured by the clock on the wall, which costs next to nothing, and is never less than CPU
/// time. The first one that takes a millisecond turns the precise clock on.
pub async fn metered<F: Future>(budget: &CpuBudget, instance: &InstanceRef, job: F) -> F::Output {
    let mut job = pin!(job);
    let (mut is_precise, mut spent) = (false, Duration::ZERO);
    poll_fn(|context| {
        let counted = clock::counted();
        let (began, used) = (Instant::now(), is_precise.then(clock::used));
        let polled = job.as_mut().poll(context);
        // Turns on this thread have counted their part.
        let counted = clock::counted().saturating_sub(counted);
        spent += if let Some(used) = used {
            clock::used().saturating_sub(used).saturating_sub(counted)
        } else {
            let elapsed = began.elapsed();
            is_precise = elapsed >= STEP;
            elapsed.saturating_sub(counted).min(STEP)
        };
        if spent >= STEP {
            budget.note(instance, std::mem::take(&mut spent));
        }
        polled
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn busy(cpu: Duration) {
        let began = clock::used();
        while clock::used().saturating_sub(began) < cpu {
            std::hint::spin_loop();
        }
    }

    fn seconds(budget: &CpuBudget, instance: &InstanceRef) -> f64 {
        budget.rate(instance) * super::super::shares::MEMORY.as_secs_f64()
    }

    #[tokio::test]
    async fn what_a_job_costs_is_counted_once_and_what_costs_little_is_not() {
        let budget = CpuBudget::new(2);
        let (heavy, light) = (InstanceRef::new("crm", "heavy"), InstanceRef::new("crm", "light"));
        let began = Instant::now();
        metered(&budget, &heavy, async {
            for _ in 0..10 {
                busy(Duration::from_millis(10));
                tokio::task::yield_now().await;
                budget.work(&heavy, usize::MAX, || busy(Duration::from_millis(10))).await;
            }
        })
        .await;
        metered(&budget, &light, async { tokio::time::sleep(Duration::from_millis(20)).await }).await;
        let used = seconds(&budget, &heavy);
        // Where others take the cores meanwhile, some of it is forgotten by now.
        let left = (-began.elapsed().as_secs_f64() / super::super::shares::MEMORY.as_secs_f64()).exp();
        assert!((0.15 * left..0.4).contains(&used), "{used} s of 0.2 s, of which {left} is left");
        assert!(seconds(&budget, &light) < 0.005);
    }
}
