//! A TOTP seed from the picture of a QR code, as a device or a web page shows it.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use zeroize::Zeroizing;

use super::Failure;
use crate::model::Secret;

/// A picture with more points is refused.
const MOST_POINTS: usize = 64_000_000;

/// The `otpauth://` URI in a PNG picture.
///
/// # Errors
/// The file is no PNG, is too large, or holds no QR code of a seed. The text of a code that is another one is not told.
pub(super) fn seed_in(path: &Path) -> Result<Secret, Failure> {
    let refuse = |why: String| Failure::usage(format!("{}: {why}", path.display()));
    let (width, height, grey) = grey_picture(path).map_err(refuse)?;
    let mut picture = rqrr::PreparedImage::prepare_from_greyscale(width, height, |x, y| grey[y * width + x]);
    let texts: Vec<Zeroizing<String>> = picture
        .detect_grids()
        .iter()
        .filter_map(|grid| grid.decode().ok())
        .map(|(_, text)| Zeroizing::new(text))
        .collect();
    if let Some(uri) = texts.iter().find(|text| text.to_ascii_lowercase().starts_with("otpauth://")) {
        return Ok(Secret::new((**uri).clone()));
    }
    Err(refuse(match texts.first() {
        None => "no QR code can be read in it; cut the picture to the code, or enlarge it".into(),
        Some(text) if text.starts_with("otpauth-migration:") => {
            "this code moves accounts between telephones; have the device show the code of one account".into()
        }
        Some(_) => "the QR code in it is none of a seed: it does not begin with otpauth://".into(),
    }))
}

/// Width, height and brightness of every point, from 0 to 255; what is transparent lies on white.
fn grey_picture(path: &Path) -> Result<(usize, usize, Zeroizing<Vec<u8>>), String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut decoder = png::Decoder::new(BufReader::new(file));
    decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::STRIP_16);
    let no_png = |error: png::DecodingError| format!("no PNG picture: {error}");
    let mut reader = decoder.read_info().map_err(no_png)?;
    let points = |info: &png::Info<'_>| info.width as usize * info.height as usize;
    if points(reader.info()) > MOST_POINTS {
        return Err(format!("a picture may have {MOST_POINTS} points"));
    }
    let size = reader.output_buffer_size().ok_or("the picture is too large")?;
    let mut bytes = Zeroizing::new(vec![0; size]);
    let frame = reader.next_frame(&mut bytes).map_err(no_png)?;
    let (width, height) = (frame.width as usize, frame.height as usize);
    let samples = frame.color_type.samples();
    let over_white = |level: u32, alpha: u32| (level * alpha + 255 * (255 - alpha)) / 255;
    let grey = bytes[..width * height * samples]
        .chunks_exact(samples)
        .map(|point| {
            let part = |at: usize| u32::from(point.get(at).copied().unwrap_or(255));
            let (level, alpha) = match samples {
                1 => (part(0), 255),
                2 => (part(0), part(1)),
                // Rec. 601's weights.
                3 => ((299 * part(0) + 587 * part(1) + 114 * part(2)) / 1000, 255),
                _ => ((299 * part(0) + 587 * part(1) + 114 * part(2)) / 1000, part(3)),
            };
            u8::try_from(over_white(level, alpha)).unwrap_or(255)
        })
        .collect();
    Ok((width, height, Zeroizing::new(grey)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const URI: &str = "otpauth://totp/Lab:admin?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Lab&period=30";

    /// A picture of a code, eight points a module, dark on light, in this kind of colour.
    fn picture(folder: &Path, text: &str, colour: png::ColorType) -> std::path::PathBuf {
        let code = qrcode::QrCode::new(text).unwrap();
        let (modules, scale, quiet) = (code.width(), 8, 4);
        let side = (modules + 2 * quiet) * scale;
        let dark = |x: usize, y: usize| {
            let (x, y) = ((x / scale).wrapping_sub(quiet), (y / scale).wrapping_sub(quiet));
            x < modules && y < modules && code[(x, y)] == qrcode::Color::Dark
        };
        let mut data = Vec::new();
        for y in 0..side {
            for x in 0..side {
                match (colour, dark(x, y)) {
                    (png::ColorType::Rgba, true) => data.extend([20, 30, 60, 255]),
                    (png::ColorType::Rgba, false) => data.extend([0, 0, 0, 0]),
                    (png::ColorType::Rgb, dark) => data.extend(if dark { [40, 0, 0] } else { [250, 250, 240] }),
                    (_, dark) => data.push(if dark { 0 } else { 255 }),
                }
            }
        }
        let path = folder.join(format!("{colour:?}.png"));
        let points = u32::try_from(side).unwrap();
        let mut encoder = png::Encoder::new(File::create(&path).unwrap(), points, points);
        encoder.set_color(colour);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.write_header().unwrap().write_image_data(&data).unwrap();
        path
    }

    #[test]
    fn a_seed_is_read_from_a_picture_of_any_colour() {
        let folder = tempfile::tempdir().unwrap();
        for colour in [png::ColorType::Grayscale, png::ColorType::Rgb, png::ColorType::Rgba] {
            let path = picture(folder.path(), URI, colour);
            let seed = seed_in(&path).unwrap_or_else(|failure| panic!("{colour:?}: {}", failure.message));
            assert_eq!(seed.expose(), URI);
        }
    }

    #[test]
    fn another_code_no_code_and_no_picture_are_told_apart_and_nothing_of_them_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let said = |path: &Path| seed_in(path).unwrap_err().message;
        let other = said(&picture(folder.path(), "my secret note", png::ColorType::Rgb));
        assert!(other.contains("does not begin with otpauth://") && !other.contains("note"), "{other}");
        let moved = said(&picture(folder.path(), "otpauth-migration://offline?data=AAAA", png::ColorType::Rgb));
        assert!(moved.contains("one account") && !moved.contains("AAAA"), "{moved}");
        let blank = folder.path().join("blank.png");
        let mut encoder = png::Encoder::new(File::create(&blank).unwrap(), 50, 50);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.write_header().unwrap().write_image_data(&[255; 2500]).unwrap();
        assert!(said(&blank).contains("no QR code"));
        let text = folder.path().join("text.png");
        std::fs::write(&text, "hello").unwrap();
        assert!(said(&text).contains("no PNG"));
        assert!(said(&folder.path().join("absent.png")).contains("absent.png"));
    }
}
