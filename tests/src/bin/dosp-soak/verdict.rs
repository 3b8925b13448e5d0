//! Whether what a program takes grows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use crate::sample::{Program, Sample};

/// Fewer samples of a process say nothing.
const MIN_SAMPLES: usize = 6;
/// So much more memory is no growth, in KiB: buffers that are kept for the next burst.
const MEMORY_SLACK: u64 = 2 * 1024;
/// So much more is none either in a shorter run, whose beginning saw no burst yet: a hub of four busy sessions
/// takes 4 MiB after a minute, 9 after ten and 11 after thirty. Less than 2 of these are in use; the others glibc
/// keeps, as each of its arenas does with what every burst had it take.
const WARM_UP_SLACK: u64 = 8 * 1024;
/// Every buffer has been used after that.
const WARM_UP: Duration = Duration::from_secs(1_000);

/// One of the figures.
struct Figure {
    name: &'static str,
    of: fn(&Sample) -> u64,
}

/// So many more descriptors, threads or tasks are no growth: those of a command of the traffic that asks just then.
const COUNT_SLACK: u64 = 2;
const MEMORY: &str = "memory in KiB";
const FIGURES: [Figure; 4] = [
    Figure { name: MEMORY, of: |sample| sample.memory },
    Figure { name: "descriptors", of: |sample| sample.descriptors },
    Figure { name: "threads", of: |sample| sample.threads },
    Figure { name: "tasks", of: |sample| sample.tasks },
];

/// What grows: of a process that lived for long the least of the last sixth is more than the most of the
/// second third. What comes and goes is not, and the first third is for every buffer to find its size: an
/// allocator keeps the most that each queue ever held.
/// Of each of `programs` one process has to have lived for long.
pub(crate) fn judge(
    samples: &[Sample],
    programs: impl IntoIterator<Item = Program>,
) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut unjudged: BTreeSet<_> = programs.into_iter().collect();
    for ((program, pid), of_one) in by_process(samples) {
        if of_one.len() < MIN_SAMPLES {
            continue;
        }
        unjudged.remove(&program);
        let (third, sixth) = (of_one.len() / 3, of_one.len().div_ceil(6));
        for Figure { name, of } in FIGURES {
            let values: Vec<u64> = of_one.iter().map(|sample| of(sample)).collect();
            let most = values[third..2 * third].iter().max().copied().unwrap_or_default();
            let least = values[values.len() - sixth..].iter().min().copied().unwrap_or_default();
            let slack = if name == MEMORY { memory_slack(&of_one[..third]) } else { COUNT_SLACK };
            if least > most + slack {
                complaints
                    .push(format!("{program} ({pid}) grows: {name} were {most}, are {least}"));
            }
        }
    }
    let too_few = |program: Program| format!("{program} was looked at too rarely to tell anything");
    complaints.extend(unjudged.into_iter().map(too_few));
    complaints
}

fn memory_slack(first_third: &[&Sample]) -> u64 {
    let ends = first_third.first().zip(first_third.last());
    let took = ends.map_or(Duration::ZERO, |(first, last)| last.at.saturating_sub(first.at));
    if took < WARM_UP { WARM_UP_SLACK } else { MEMORY_SLACK }
}

/// First and last figures of those that lived for long.
pub(crate) fn summary(samples: &[Sample]) -> String {
    let mut text = String::new();
    for ((program, pid), of_one) in by_process(samples) {
        let (Some(first), Some(last)) = (of_one.first(), of_one.last()) else { continue };
        write!(text, "{program} ({pid}), {} samples:", of_one.len()).unwrap_or_default();
        for Figure { name, of } in FIGURES {
            write!(text, " {name} {} → {};", of(first), of(last)).unwrap_or_default();
        }
        text.push('\n');
    }
    text
}

fn by_process(samples: &[Sample]) -> BTreeMap<(Program, u32), Vec<&Sample>> {
    let mut processes: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for sample in samples {
        processes.entry((sample.program, sample.pid)).or_default().push(sample);
    }
    processes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(memory: &[u64], tasks: &[u64]) -> Vec<Sample> {
        let sample = |(i, (&memory, &tasks)): (usize, (&u64, &u64))| Sample {
            at: Duration::from_secs(1_100 * i as u64),
            program: Program::Agent(0),
            pid: 7,
            memory,
            descriptors: 12,
            threads: 2,
            tasks,
        };
        memory.iter().zip(tasks).enumerate().map(sample).collect()
    }

    #[test]
    fn what_comes_and_goes_is_no_growth() {
        let flat = samples(&[1_000, 9_000, 12_000, 11_000, 14_000, 12_900], &[5, 9, 6, 9, 12, 9]);
        assert_eq!(judge(&flat, [Program::Agent(0)]), Vec::<String>::new());
        let said = judge(&flat, [Program::Hub]);
        assert!(said.len() == 1 && said[0].contains("hub was looked at too rarely"), "{said:?}");
    }

    #[test]
    fn what_only_grows_is_told() {
        let growing = samples(&[9_000, 9_000, 9_500, 10_000, 12_100, 12_200], &[5, 5, 5, 5, 8, 8]);
        let said = judge(&growing, []);
        assert!(said[0].contains("memory in KiB were 10000, are 12200"), "{said:?}");
        assert!(said[1].contains("tasks were 5, are 8"), "{said:?}");
        assert_eq!(said.len(), 2);
        assert_eq!(judge(&growing[..5], []), Vec::<String>::new(), "too few to tell");
        let short = growing.iter().map(|sample| Sample { at: sample.at / 10, ..sample.clone() });
        let said = judge(&short.collect::<Vec<_>>(), []);
        assert!(said.len() == 1 && said[0].contains("tasks"), "a short run: {said:?}");
    }
}
