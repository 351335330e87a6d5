//! Uncompressed archives with correct checksums, whatever their content.

/// Packs files; `lie` is added to the sizes stored in the archive.
pub fn pack(files: &[(String, Vec<u8>)], lie: u32) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in files {
        let offset = out.len() as u32;
        let size = bytes.len() as u32;
        let mut common = Vec::new();
        for half in [20u16, 0, 0, 0, 0x21] {
            common.extend(half.to_le_bytes());
        }
        common.extend(crc32fast::hash(bytes).to_le_bytes());
        common.extend(size.to_le_bytes());
        common.extend(size.wrapping_add(lie).to_le_bytes());
        common.extend((name.len() as u16).to_le_bytes());
        common.extend(0u16.to_le_bytes());
        out.extend(b"PK\x03\x04");
        out.extend(&common);
        out.extend(name.as_bytes());
        out.extend(bytes);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let start = out.len() as u32;
    out.extend(&directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    for _ in 0..2 {
        out.extend((files.len() as u16).to_le_bytes());
    }
    out.extend((directory.len() as u32).to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend([0, 0]);
    out
}

/// Returns the files of an archive written by [`pack`] or a plain writer; compressed ones are not decompressed.
pub fn unpack(bytes: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
    let half = |at: usize| Some(usize::from(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?)));
    let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize);
    let end = bytes.windows(4).rposition(|w| w == b"PK\x05\x06")?;
    let (count, mut at) = (half(end + 10)?, word(end + 16)?);
    let mut files = Vec::new();
    for _ in 0..count {
        let (method, packed, name_len) = (half(at + 10)?, word(at + 20)?, half(at + 28)?);
        let name = String::from_utf8(bytes.get(at + 46..at + 46 + name_len)?.to_vec()).ok()?;
        let local = word(at + 42)?;
        let data = local + 30 + half(local + 26)? + half(local + 28)?;
        if method != 0 {
            return None;
        }
        files.push((name, bytes.get(data..data + packed)?.to_vec()));
        at += 46 + name_len + half(at + 30)? + half(at + 32)?;
    }
    Some(files)
}
