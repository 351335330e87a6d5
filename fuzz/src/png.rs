//! PNG files that unfold: a few kilobytes for hundreds of megabytes of pixels or of colour profile.

use crate::random::Random;

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// A chunk with a right checksum.
fn chunk(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let body = [&kind[..], content].concat();
    let length = u32::try_from(content.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&length[..], &body, &crc32fast::hash(&body).to_be_bytes()].concat()
}

/// So many zeros under zlib's compression: one zero, then copies of 258.
fn zeros(count: usize) -> Vec<u8> {
    let (mut out, mut byte, mut filled) = (vec![0x78, 0x01], 0u8, 0);
    // Bits in the order in which they stand in the file: numbers from their lowest bit, codes from their highest.
    let mut put = |out: &mut Vec<u8>, bits: &str| {
        for bit in bits.bytes() {
            byte |= (bit & 1) << filled;
            filled += 1;
            if filled == 8 {
                out.push(byte);
                (byte, filled) = (0, 0);
            }
        }
    };
    // The last block, with the codes that the format fixes.
    put(&mut out, "110");
    let (copies, single) = (count.saturating_sub(1) / 258, count.saturating_sub(1) % 258);
    for _ in 0..single + usize::from(count > 0) {
        put(&mut out, "00110000");
    }
    for _ in 0..copies {
        put(&mut out, "1100010100000");
    }
    // The end, and the rest of its byte.
    put(&mut out, "00000000000000");
    let sum = ((count % 65_521) as u32) << 16 | 1;
    out.extend(sum.to_be_bytes());
    out
}

/// Makes a picture unfold to hundreds of megabytes; `false` if it is no PNG.
pub fn unfold(random: &mut Random, bytes: &mut Vec<u8>) -> bool {
    // A signature and the header, which is a chunk of 13 bytes.
    const HEADER: usize = 8 + 12 + 13;
    if !bytes.starts_with(SIGNATURE) || bytes.len() < HEADER {
        return false;
    }
    if random.below(2) == 0 {
        let size = [1 << 10, 1 << 20, 70 << 20, 300 << 20][random.below(4)];
        let kind = *random.of(&[b"iCCP", b"iCCP", b"zTXt"]);
        let content = [&b"x\0\0"[..], &zeros(size)].concat();
        bytes.splice(HEADER..HEADER, chunk(kind, &content));
        return true;
    }
    // Depth and colour type: grey, colour, both with opacity, of 8 and 16 bits.
    let (depth, colour, samples) = *random.of(&[
        (8, 0, 1),
        (8, 2, 3),
        (8, 6, 4),
        (16, 0, 1),
        (16, 2, 3),
        (16, 4, 2),
        (16, 6, 4),
        (16, 6, 4),
    ]);
    let [width, height] = [0; 2].map(|_| [1, 16, 1000, 3000, 8000][random.below(5)]);
    let row = 1 + width * samples * depth / 8;
    let mut header = Vec::new();
    header.extend((width as u32).to_be_bytes());
    header.extend((height as u32).to_be_bytes());
    header.extend([depth as u8, colour, 0, 0, 0]);
    // Sometimes fewer rows than announced.
    let rows = if random.below(4) == 0 { random.below(height) } else { height };
    let pixels = chunk(b"IDAT", &zeros(rows * row));
    *bytes = [SIGNATURE, &chunk(b"IHDR", &header), &pixels, &chunk(b"IEND", &[])].concat();
    true
}
