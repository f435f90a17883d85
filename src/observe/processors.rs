//! Which processors threads run on: the lists of `server-cpulist` and its like.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Binds the calling thread, and threads that it starts from now on, to the processors of a list such as `0-3,8` or `0-14:2`,
/// which is every second one. An empty list binds nothing; one that cannot be followed is logged.
pub fn bind(list: &str) {
    if list.is_empty() {
        return;
    }
    let done = match parse(list) {
        Some(processors) => sched_setaffinity(None, &processors).map_err(|error| error.to_string()),
        None => Err("not a list of processors".to_string()),
    };
    if let Err(why) = done {
        log::warn!("A thread could not be bound to the processors \"{list}\": {why}");
    }
}

/// Starts threads that are bound to the processors of a list. The calling thread stays where it is.
pub fn start_on<T>(list: &str, start: impl FnOnce() -> T) -> T {
    if list.is_empty() {
        return start();
    }
    let own = sched_getaffinity(None);
    bind(list);
    let started = start();
    if let Err(error) = own.and_then(|own| sched_setaffinity(None, &own)) {
        log::warn!("A thread could not return to its processors: {error}");
    }
    started
}

/// Reads `first[-last[:step]]`, separated by commas.
fn parse(list: &str) -> Option<CpuSet> {
    let mut processors = CpuSet::new();
    for part in list.split(',') {
        let (range, step) = part.split_once(':').unwrap_or((part, "1"));
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let [first, last, step] = [first, last, step].map(|number| number.trim().parse().ok());
        let (first, last, step): (usize, usize, usize) = (first?, last?, step?);
        if first > last || last >= CpuSet::MAX_CPU || step == 0 {
            return None;
        }
        (first..=last).step_by(step).for_each(|processor| processors.set(processor));
    }
    Some(processors)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(list: &str) -> Option<Vec<usize>> {
        parse(list).map(|set| (0..CpuSet::MAX_CPU).filter(|&number| set.is_set(number)).collect())
    }

    #[test]
    fn lists_are_read() {
        assert_eq!(numbers("3"), Some(vec![3]));
        assert_eq!(numbers("0-2, 8"), Some(vec![0, 1, 2, 8]));
        assert_eq!(numbers("1-7:3,6-7"), Some(vec![1, 4, 6, 7]));
        for wrong in ["", ",", "a", "-1", "1-", "2-1", "1-5:0", "0-1000000000", "1 2"] {
            assert_eq!(numbers(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn who_starts_others_elsewhere_stays() {
        let own = sched_getaffinity(None).unwrap();
        let first = (0..CpuSet::MAX_CPU).find(|&number| own.is_set(number)).unwrap();
        let there =
            start_on(&first.to_string(), || std::thread::spawn(|| sched_getaffinity(None).unwrap()).join().unwrap());
        assert!(there.is_set(first) && there.count() == 1);
        assert_eq!(sched_getaffinity(None).unwrap().count(), own.count());
        assert_eq!(start_on("nowhere", || sched_getaffinity(None).unwrap().count()), own.count());
    }
}
