//! The latency monitor: what held the server up, by kind of event.
//!
//! Whatever may take long reports how long it took; what reached the threshold is kept as a sample, one for each second
//! at most, and the worst of that second. An event's name is one of those that Redis has, for what exists here.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Samples kept of an event.
const SAMPLES: usize = 160;

/// The worst of a second.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sample {
    /// Seconds since the Unix epoch.
    pub unix_seconds: u64,
    /// How long it took, in milliseconds.
    pub millis: u64,
}

/// The samples of an event, the oldest first; there is at least one.
#[derive(Clone, Default, Debug)]
pub struct Series {
    samples: Vec<Sample>,
    /// The worst ever, in milliseconds.
    pub worst: u64,
}

impl Series {
    fn add(&mut self, sample: Sample) {
        self.worst = self.worst.max(sample.millis);
        match self.samples.last_mut() {
            Some(last) if last.unix_seconds == sample.unix_seconds => last.millis = last.millis.max(sample.millis),
            _ => {
                if self.samples.len() == SAMPLES {
                    self.samples.remove(0);
                }
                self.samples.push(sample);
            }
        }
    }

    /// The samples, the oldest first.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// Figures about the samples.
    pub fn figures(&self, now_seconds: u64) -> Figures {
        let count = self.samples.len().max(1) as u64;
        let millis = || self.samples.iter().map(|sample| sample.millis);
        let average = millis().sum::<u64>() / count;
        let oldest = self.samples.first().map_or(now_seconds, |sample| sample.unix_seconds);
        Figures {
            samples: self.samples.len(),
            least: millis().min().unwrap_or(0),
            most: millis().max().unwrap_or(0),
            average,
            deviation: millis().map(|millis| millis.abs_diff(average)).sum::<u64>() / count,
            seconds_between: now_seconds.saturating_sub(oldest).max(1) as f64 / count as f64,
        }
    }
}

/// Figures about samples; times in milliseconds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Figures {
    pub samples: usize,
    pub least: u64,
    pub most: u64,
    pub average: u64,
    /// The mean of how far samples are from the average.
    pub deviation: u64,
    /// The mean time from one to the next, until now.
    pub seconds_between: f64,
}

/// All events that reached the threshold.
#[derive(Default)]
pub struct LatencyMonitor {
    events: BTreeMap<&'static str, Series>,
}

impl LatencyMonitor {
    /// Keeps a sample.
    pub fn add(&mut self, event: &'static str, sample: Sample) {
        self.events.entry(event).or_default().add(sample);
    }

    /// The events in the order of their names.
    pub fn events(&self) -> impl ExactSizeIterator<Item = (&'static str, &Series)> {
        self.events.iter().map(|(event, series)| (*event, series))
    }

    /// The samples of an event.
    pub fn series(&self, event: &[u8]) -> Option<(&'static str, &Series)> {
        let event = std::str::from_utf8(event).ok()?;
        self.events.get_key_value(event).map(|(event, series)| (*event, series))
    }

    /// Forgets an event, named in any case; returns whether it was there.
    pub fn forget(&mut self, event: &[u8]) -> bool {
        let before = self.events.len();
        self.events.retain(|name, _| !name.as_bytes().eq_ignore_ascii_case(event));
        self.events.len() < before
    }

    /// Forgets everything; returns how many events there were.
    pub fn clear(&mut self) -> usize {
        std::mem::take(&mut self.events).len()
    }
}

/// Columns of a drawing; the lines of its columns, and the steps of each line.
const COLUMNS: usize = 80;
const LINES: usize = 4;
const STEPS: [u8; 3] = [b'_', b'o', b'#'];

/// Draws samples as columns between the least and the most, with their ages written downwards under them.
pub fn draw(event: &str, series: &Series, now_seconds: u64) -> String {
    let Figures { least, most, .. } = series.figures(now_seconds);
    let mut text = format!("{event} - high {most} ms, low {least} ms (all time high {} ms)\n", series.worst);
    text.push_str(&"-".repeat(COLUMNS));
    text.push('\n');
    for (part, samples) in series.samples().chunks(COLUMNS).enumerate() {
        if part > 0 {
            text.push('\n');
        }
        let heights: Vec<usize> = samples.iter().map(|sample| height(sample.millis, least, most)).collect();
        for line in (0..LINES).rev() {
            let drawn = heights.iter().map(|height| match height.checked_sub(line * STEPS.len()) {
                None => ' ',
                Some(above) if above < STEPS.len() => char::from(STEPS[above]),
                Some(_) => '|',
            });
            push_line(&mut text, drawn);
        }
        push_line(&mut text, samples.iter().map(|_| ' '));
        let ages: Vec<Vec<char>> =
            samples.iter().map(|sample| age(now_seconds.saturating_sub(sample.unix_seconds))).collect();
        for at in 0..ages.iter().map(Vec::len).max().unwrap_or(0) {
            push_line(&mut text, ages.iter().map(|age| age.get(at).copied().unwrap_or(' ')));
        }
    }
    text
}

fn push_line(text: &mut String, letters: impl Iterator<Item = char>) {
    text.extend(letters);
    text.push('\n');
}

/// In which step of all lines a column ends.
fn height(millis: u64, least: u64, most: u64) -> usize {
    let steps = LINES * STEPS.len();
    let part = (millis - least) as f64 / most.saturating_sub(least).max(1) as f64;
    ((part * steps as f64) as usize).min(steps - 1)
}

/// An age in the largest unit of which it has one.
fn age(seconds: u64) -> Vec<char> {
    let (number, unit) = match seconds {
        0..60 => (seconds, 's'),
        60..3600 => (seconds / 60, 'm'),
        3600..86400 => (seconds / 3600, 'h'),
        _ => (seconds / 86400, 'd'),
    };
    let mut text = String::new();
    let written = write!(text, "{number}{unit}");
    debug_assert!(written.is_ok(), "writing to a string does not fail");
    text.chars().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn monitor(samples: &[(u64, u64)]) -> LatencyMonitor {
        let mut monitor = LatencyMonitor::default();
        for &(unix_seconds, millis) in samples {
            monitor.add("command", Sample { unix_seconds, millis });
        }
        monitor
    }

    fn samples(monitor: &LatencyMonitor) -> Vec<(u64, u64)> {
        let (_, series) = monitor.series(b"command").unwrap();
        series.samples().iter().map(|sample| (sample.unix_seconds, sample.millis)).collect()
    }

    #[test]
    fn a_second_has_one_sample_and_only_the_latest_are_kept() {
        let monitor = monitor(&[(5, 30), (5, 70), (5, 20), (6, 10)]);
        assert_eq!(samples(&monitor), [(5, 70), (6, 10)]);
        let many: Vec<(u64, u64)> = (0..500).map(|at| (at, 1000 - at)).collect();
        let monitor = self::monitor(&many);
        assert_eq!(samples(&monitor), many[500 - SAMPLES..]);
        assert_eq!(monitor.series(b"command").unwrap().1.worst, 1000);
    }

    #[test]
    fn figures_of_samples() {
        let monitor = monitor(&[(100, 10), (110, 20), (120, 60)]);
        let figures = monitor.series(b"command").unwrap().1.figures(160);
        let expected = Figures { samples: 3, least: 10, most: 60, average: 30, deviation: 20, seconds_between: 20.0 };
        assert_eq!(figures, expected);
    }

    #[test]
    fn events_are_found_exactly_and_forgotten_in_any_case() {
        let mut monitor = monitor(&[(1, 1)]);
        assert!(monitor.series(b"COMMAND").is_none() && monitor.series(b"\xff").is_none());
        assert!(!monitor.forget(b"fork") && monitor.forget(b"Command") && !monitor.forget(b"command"));
        assert_eq!(monitor.clear(), 0);
    }

    #[test]
    fn a_drawing() {
        let monitor = monitor(&[(1000, 100), (1010, 200), (1050, 500), (1051, 480)]);
        let (event, series) = monitor.series(b"command").unwrap();
        let drawing = draw(event, series, 1075);
        let lines: Vec<&str> = drawing.lines().collect();
        assert_eq!(lines[0], "command - high 500 ms, low 100 ms (all time high 500 ms)");
        assert_eq!(lines[1].len(), COLUMNS);
        assert_eq!(lines[2..], ["  ##", "  ||", " _||", "_|||", "    ", "1122", "mm54", "  ss"]);
        let flat = self::monitor(&[(1, 7)]);
        assert!(draw("command", flat.series(b"command").unwrap().1, 2).contains("\n_\n"));
    }
}
