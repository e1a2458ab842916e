//! Runs histories of the simulator: `cargo run --release --features sim --example simulate -- --seed 1 --histories 100000`.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use clap::Parser;
use rotord::sim::{Coverage, Fault, Habit, Plan, run, shrink};

/// A history is a great many small allocations.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Simulates the daemon in a world that is made to break it, and checks its promises.
#[derive(Parser)]
struct Args {
    /// The seed of the first history; the others follow it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many histories.
    #[arg(long, default_value_t = 10_000)]
    histories: u64,
    /// Threads.
    #[arg(long, default_value_t = std::thread::available_parallelism().map_or(1, std::num::NonZero::get))]
    threads: usize,
    /// Tell the one history of the seed.
    #[arg(long)]
    tell: bool,
    /// Go on after a broken promise, and list which were broken how often.
    #[arg(long)]
    all: bool,
    /// With --all: stop at the first all the same, and tell only its kind.
    #[arg(long)]
    first: bool,
    /// Stay silent about what was never reached.
    #[arg(long)]
    partial: bool,
    /// Faults and habits of devices that are left out, by their names, with commas between.
    #[arg(long, value_delimiter = ',')]
    without: Vec<String>,
    /// Of the habits of devices have these alone.
    #[arg(long, value_delimiter = ',', num_args = 0..)]
    habits: Option<Vec<String>>,
}

impl Args {
    /// The history of a seed, without what is left out.
    fn plan(&self, seed: u64) -> Plan {
        let left_out = |name: &str| self.without.iter().any(|known| known == name);
        let kept = |name: &str| self.habits.as_ref().is_none_or(|kept| kept.iter().any(|known| known == name));
        let mut plan = Plan::of(seed);
        for fault in Fault::ALL {
            plan.without |= if left_out(&format!("{fault:?}")) { fault.bit() } else { 0 };
        }
        for habit in Habit::ALL {
            let name = format!("{habit:?}");
            plan.without_habits |= if left_out(&name) || !kept(&name) { habit.bit() } else { 0 };
        }
        plan
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    if args.tell {
        let ended = run(Plan { tell: true, ..args.plan(args.seed) });
        ended.story.iter().for_each(|line| println!("{line}"));
        println!("{}", ended.violation.as_deref().unwrap_or("no promise was broken"));
        return if ended.violation.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    }
    let (next, stop) = (AtomicU64::new(args.seed), AtomicBool::new(false));
    let last = args.seed.saturating_add(args.histories);
    let total = Mutex::new(Coverage::default());
    let failed = Mutex::new(BTreeMap::<String, (u64, u64)>::new());
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..args.threads {
            scope.spawn(|| {
                let mut coverage = Coverage::default();
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= last {
                        break;
                    }
                    let ended = run(args.plan(seed));
                    coverage.add(&ended.coverage);
                    if let Some(violation) = ended.violation {
                        stop.store(!args.all || args.first, Ordering::Relaxed);
                        let mut failed = failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                        let entry = failed.entry(rotord::sim::kind_of(&violation)).or_insert((0, seed));
                        *entry = (entry.0 + 1, entry.1.min(seed));
                    }
                }
                total.lock().unwrap_or_else(std::sync::PoisonError::into_inner).add(&coverage);
            });
        }
    });
    let seconds = begin.elapsed().as_secs_f64();
    let total = total.into_inner().unwrap_or_default();
    print!("{}", total.table());
    let rate = total.histories as f64 / seconds;
    println!("{seconds:.1} s, {rate:.0} histories a second on {} threads", args.threads);
    let failed = failed.into_inner().unwrap_or_default();
    if args.all {
        failed.iter().for_each(|(kind, (count, seed))| println!("{count:>8}  {kind} (first: seed {seed})"));
    }
    if let Some(seed) = failed.values().map(|(_, seed)| *seed).min() {
        if args.all {
            return ExitCode::FAILURE;
        }
        let ended = shrink(args.plan(seed));
        println!("\nA promise is broken in the history of seed {seed}; the smallest one that breaks it too:\n");
        ended.story.iter().for_each(|line| println!("{line}"));
        println!("\n{}\nAgain: --seed {seed} --histories 1", ended.violation.unwrap_or_default());
        return ExitCode::FAILURE;
    }
    let missing = total.missing();
    if !missing.is_empty() && !args.partial {
        println!("never reached, and so not tested: {}", missing.join("; "));
        return ExitCode::FAILURE;
    }
    println!("no promise was broken");
    ExitCode::SUCCESS
}
