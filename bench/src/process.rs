//! What a process and the disks have used, from `/proc` and `/sys`, read before and after a measurement.

use std::{fs, num::NonZeroU64, path::Path};

use anyhow::{Context, Result};

/// `USER_HZ`, the unit of `/proc/PID/stat`, is 100 on every architecture that Linux still gives a binary to.
const TICKS_PER_SECOND: f64 = 100.0;
const SECTOR_BYTES: u64 = 512;

/// Counters that only grow.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    pub(crate) cpu_user_s: f64,
    pub(crate) cpu_system_s: f64,
    /// Bytes that the process caused to be sent to a disk; buffered writes count when the page gets dirty.
    pub(crate) written_bytes: u64,
}

impl Usage {
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let stat = read(format!("/proc/{pid}/stat"))?;
        // The name may hold blanks and parentheses; the fields behind its last parenthesis start with the third.
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .context("/proc/PID/stat has no name")?
            .split_whitespace()
            .collect();
        let ticks = |index: usize| -> Result<f64> {
            Ok(fields
                .get(index - 3)
                .context("/proc/PID/stat is short")?
                .parse::<f64>()?)
        };
        Ok(Self {
            cpu_user_s: ticks(14)? / TICKS_PER_SECOND,
            cpu_system_s: ticks(15)? / TICKS_PER_SECOND,
            written_bytes: field(&read(format!("/proc/{pid}/io"))?, "write_bytes:")?,
        })
    }

    pub(crate) fn own() -> Result<Self> {
        Self::of(std::process::id())
    }

    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            cpu_user_s: self.cpu_user_s - before.cpu_user_s,
            cpu_system_s: self.cpu_system_s - before.cpu_system_s,
            written_bytes: self.written_bytes - before.written_bytes,
        }
    }

    pub(crate) fn cpu_s(&self) -> f64 {
        self.cpu_user_s + self.cpu_system_s
    }
}

/// Resident memory, now and at its highest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) resident_bytes: u64,
    pub(crate) resident_peak_bytes: u64,
}

impl Memory {
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let status = read(format!("/proc/{pid}/status"))?;
        Ok(Self {
            resident_bytes: field(&status, "VmRSS:")? * 1024,
            resident_peak_bytes: field(&status, "VmHWM:")? * 1024,
        })
    }
}

/// File descriptors that the process has open.
pub(crate) fn open_files(pid: u32) -> Result<u64> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count() as u64)
}

/// Of the whole machine, over the last minute.
pub(crate) fn load_average() -> Result<f64> {
    let text = read("/proc/loadavg")?;
    let first = text.split_whitespace().next().context("/proc/loadavg is empty")?;
    Ok(first.parse()?)
}

/// All disks of the machine together: another process that writes in the same seconds is counted too.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Disks {
    pub(crate) writes: u64,
    pub(crate) written_bytes: u64,
    pub(crate) flushes: u64,
}

impl Disks {
    pub(crate) fn read() -> Result<Self> {
        let mut sum = Self::default();
        for entry in fs::read_dir("/sys/block")? {
            let path = entry?.path();
            // Loop, RAM and zram devices have no device behind them.
            if path.join("device").exists() {
                sum.add(&path)?;
            }
        }
        Ok(sum)
    }

    fn add(&mut self, device: &Path) -> Result<()> {
        let stat = read(device.join("stat"))?;
        let fields: Vec<u64> = stat
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        let at = |index: usize| fields.get(index).copied().unwrap_or(0);
        self.writes += at(4);
        self.written_bytes += at(6) * SECTOR_BYTES;
        self.flushes += at(15);
        Ok(())
    }

    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            writes: self.writes - before.writes,
            written_bytes: self.written_bytes - before.written_bytes,
            flushes: self.flushes - before.flushes,
        }
    }
}

/// Takes the 50 us off by which the kernel may end this thread's timed waits late.
pub(crate) fn precise_timers() -> Result<()> {
    Ok(rustix::thread::set_current_timer_slack(NonZeroU64::new(1))?)
}

fn read(path: impl AsRef<Path>) -> Result<String> {
    fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.as_ref().display()))
}

fn field(text: &str, name: &str) -> Result<u64> {
    let line = text.lines().find(|line| line.starts_with(name));
    let value = line.and_then(|line| line.split_whitespace().nth(1));
    value
        .with_context(|| format!("no {name}"))?
        .parse()
        .context("not a number")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_can_be_measured_and_only_uses_more() {
        let before = Usage::own().unwrap();
        let after = Usage::own().unwrap().since(before);
        assert!(after.cpu_s() >= 0.0);
        let memory = Memory::of(std::process::id()).unwrap();
        assert!(open_files(std::process::id()).unwrap() >= 3);
        assert!(load_average().unwrap() >= 0.0);
        assert!(memory.resident_bytes > 0 && memory.resident_bytes <= memory.resident_peak_bytes);
    }
}
