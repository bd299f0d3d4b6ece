//! The high-water mark: how far the database had got when the last change was answered.
//!
//! It is a file beside the database, so that a database that was rolled back, restored from a copy
//! or swapped is noticed when it is opened. Two slots of one block each are written in turn: a
//! write that is torn by a crash leaves the other one, which is the mark before it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use uuid::Uuid;

use super::fault::Fault;
use crate::sealed::crc32c;

const MAGIC: &[u8; 8] = b"qgwmark1";
const SLOT: usize = 4096;
const USED: usize = 44;

/// A point in the life of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// Which database: chosen at random when it was created.
    pub epoch: Uuid,
    /// How many commits it has had.
    pub seq: u64,
    /// Chosen at random for each commit: tells apart two histories of one length.
    pub tag: u64,
}

impl Point {
    fn encode(&self) -> Vec<u8> {
        let mut slot = Vec::with_capacity(SLOT);
        slot.extend_from_slice(MAGIC);
        slot.extend_from_slice(self.epoch.as_bytes());
        slot.extend_from_slice(&self.seq.to_le_bytes());
        slot.extend_from_slice(&self.tag.to_le_bytes());
        let crc = crc32c(&slot);
        slot.extend_from_slice(&crc.to_le_bytes());
        slot.resize(SLOT, 0);
        slot
    }

    fn decode(slot: &[u8]) -> Option<Self> {
        let used = slot.first_chunk::<USED>()?;
        let (body, crc) = used.split_last_chunk::<4>()?;
        let (magic, body) = body.split_first_chunk::<8>()?;
        let (epoch, body) = body.split_first_chunk::<16>()?;
        let (seq, tag) = body.split_first_chunk::<8>()?;
        let whole = used.get(..USED - 4)?;
        (magic == MAGIC && crc32c(whole) == u32::from_le_bytes(*crc)).then_some(Self {
            epoch: Uuid::from_bytes(*epoch),
            seq: u64::from_le_bytes(*seq),
            tag: u64::from_le_bytes(tag.try_into().ok()?),
        })
    }
}

/// The file.
#[derive(Debug)]
pub struct Mark {
    file: File,
}

impl Mark {
    /// Creates the file; it appears whole or not at all.
    pub fn create(path: &Path, point: Point) -> Result<Self, Fault> {
        let new = path.with_extension("mark.new");
        let made = || -> io::Result<File> {
            let mut file =
                OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&new)?;
            let mut slots = vec![0; 2 * SLOT];
            if let Some(slot) = slots.get_mut(offset(point.seq)..).and_then(|of| of.get_mut(..SLOT))
            {
                slot.copy_from_slice(&point.encode());
            }
            file.write_all(&slots)?;
            file.sync_all()?;
            std::fs::rename(&new, path)?;
            sync_folder(path)?;
            Ok(file)
        };
        let file = made().map_err(|error| Fault::io("creating the high-water mark", &error))?;
        Ok(Self { file })
    }

    /// Opens the file and reads the newest mark.
    pub fn open(path: &Path) -> Result<(Self, Point), Fault> {
        let read = || -> io::Result<(File, [Option<Point>; 2])> {
            let file = OpenOptions::new().read(true).write(true).open(path)?;
            let mut points = [None; 2];
            for (at, point) in (0_u64..).zip(&mut points) {
                let mut slot = [0; USED];
                match file.read_exact_at(&mut slot, at * SLOT as u64) {
                    Ok(()) => *point = Point::decode(&slot),
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
                    Err(error) => return Err(error),
                }
            }
            Ok((file, points))
        };
        let (file, points) =
            read().map_err(|error| Fault::io("reading the high-water mark", &error))?;
        let newest = points.into_iter().flatten().max_by_key(|point| point.seq);
        let point = newest.ok_or_else(|| Fault::damaged("the high-water mark is unreadable"))?;
        Ok((Self { file }, point))
    }

    /// Writes the next mark; it is on the disk when this returns.
    pub fn write(&self, point: Point) -> Result<(), Fault> {
        self.file
            .write_all_at(&point.encode(), offset(point.seq) as u64)
            .and_then(|()| self.file.sync_data())
            .map_err(|error| Fault::io("writing the high-water mark", &error))
    }
}

/// Where the slot of a mark begins.
const fn offset(seq: u64) -> usize {
    if seq.is_multiple_of(2) { 0 } else { SLOT }
}

/// Makes the name of a file durable.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
