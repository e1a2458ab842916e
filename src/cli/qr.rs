//! A TOTP seed from the picture of a QR code, as a device or a web page shows it.

use std::io::BufReader;
use std::path::Path;

use zeroize::Zeroizing;

use super::{Failure, input};
use crate::files;
use crate::model::Secret;
use crate::totp::Seed;

/// A picture with more points is refused.
const MOST_POINTS: usize = 64_000_000;

/// The `otpauth://` URI in a PNG picture.
///
/// # Errors
/// The file is no PNG, is too large, or holds no QR code of a seed, or several seeds. The text of a code that is another one is
/// not told.
pub(super) fn seed_in(path: &Path) -> Result<Secret, Failure> {
    let name = input::told(path);
    let refuse = |why: &str| Failure::usage(format!("{name}: {why}"));
    let picture = Picture::read(path).map_err(|why| refuse(&why))?;
    let mut found = Found::default();
    for view in View::ALL {
        found.look(&picture, *view);
    }
    let mut seeds: Vec<&Zeroizing<String>> = Vec::new();
    for uri in found.texts.iter().filter(|text| text.to_ascii_lowercase().starts_with("otpauth://")) {
        if !seeds.iter().any(|seed| same_seed(seed, uri)) {
            seeds.push(uri);
        }
    }
    match seeds.as_slice() {
        [uri] if found.unreadable == 0 => Ok(Secret::new((**uri).to_string())),
        [_] => Err(refuse(
            "there is a code beside the seed's that cannot be read, and it may be another seed; cut the picture to the code of one account",
        )),
        [] => Err(refuse(match found.texts.first() {
            None if found.unreadable > 0 => {
                "the QR code in it cannot be read: a part of it is missing or blurred; take the picture anew, or enlarge it"
            }
            None => {
                "no QR code can be read in it, neither dark on light nor light on dark; cut the picture to the code, or enlarge it"
            }
            Some(text) if text.to_ascii_lowercase().starts_with("otpauth-migration:") => {
                "this code moves accounts between telephones; have the device show the code of one account"
            }
            Some(_) => "the QR code in it is none of a seed: it does not begin with otpauth://",
        })),
        several => Err(refuse(&format!(
            "the codes of {} seeds are in it; cut the picture to the code of one account",
            several.len()
        ))),
    }
}

/// The URIs of one or several seeds in a PNG picture, one a line: those of single accounts, and those that move accounts.
///
/// # Errors
/// The file is no PNG, is too large, or holds no such code.
pub(super) fn uris_in(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let name = input::told(path);
    let picture = Picture::read(path).map_err(|why| Failure::usage(format!("{name}: {why}")))?;
    let mut found = Found::default();
    for view in View::ALL {
        found.look(&picture, *view);
    }
    let mut lines = Zeroizing::new(String::new());
    for uri in found.texts.iter().filter(|text| text.to_ascii_lowercase().starts_with("otpauth")) {
        lines.push_str(uri);
        lines.push('\n');
    }
    if lines.is_empty() {
        return Err(Failure::usage(format!(
            "{name}: no QR code of a seed, or of accounts that are moved, can be read in it; cut the picture to the code, or enlarge it"
        )));
    }
    Ok(lines)
}

/// Whether two URIs have the same codes, whatever their labels are.
fn same_seed(one: &str, other: &str) -> bool {
    let uri = |text: &str| Seed::parse(text).ok().map(|seed| seed.to_uri());
    one == other || matches!((uri(one), uri(other)), (Some(one), Some(other)) if one.expose() == other.expose())
}

/// What is found in a picture, in all the ways to look at it.
#[derive(Default)]
struct Found {
    texts: Vec<Zeroizing<String>>,
    /// Codes that are there and cannot be read.
    unreadable: usize,
}

impl Found {
    fn look(&mut self, picture: &Picture, view: View) {
        if view.ground == Ground::Dark && !picture.transparent {
            return;
        }
        let mut prepared = rqrr::PreparedImage::prepare_from_greyscale(picture.width, picture.height, |x, y| {
            picture.level(x, y, view)
        });
        for grid in prepared.detect_grids() {
            let mut bytes = Zeroizing::new(Vec::new());
            if grid.decode_to(&mut *bytes).is_err() {
                // What looks like a code where colours are turned round, or on the other ground, is a play of the light.
                self.unreadable += usize::from(view == View::ALL[0]);
                continue;
            }
            let text = text_of(&bytes);
            if !self.texts.contains(&text) {
                self.texts.push(text);
            }
        }
    }
}

/// The bytes of a code as text: UTF-8, or ISO 8859-1, which is what ISO/IEC 18004 means where nothing else is said.
fn text_of(bytes: &[u8]) -> Zeroizing<String> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => Zeroizing::new(text.to_owned()),
        Err(_) => Zeroizing::new(bytes.iter().map(|byte| char::from(*byte)).collect()),
    };
    Zeroizing::new(text.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}' || c == '\0').to_owned())
}

/// What transparent points lie on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ground {
    Light,
    Dark,
}

/// A way to look at a picture. A code is dark on light; where a page is shown in dark colours it is the other way round, and
/// rqrr reads none that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct View {
    ground: Ground,
    inverted: bool,
}

impl View {
    const ALL: &[Self] = &[
        Self { ground: Ground::Light, inverted: false },
        Self { ground: Ground::Light, inverted: true },
        Self { ground: Ground::Dark, inverted: false },
        Self { ground: Ground::Dark, inverted: true },
    ];
}

/// A picture's points: the brightness of each, and how much of it covers the ground, both from 0 to 255.
struct Picture {
    width: usize,
    height: usize,
    transparent: bool,
    points: Zeroizing<Vec<(u8, u8)>>,
}

impl Picture {
    fn read(path: &Path) -> Result<Self, String> {
        let file = files::open(path).map_err(|error| error.to_string())?;
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
        let points: Zeroizing<Vec<(u8, u8)>> =
            Zeroizing::new(bytes[..width * height * samples].chunks_exact(samples).map(brightness).collect());
        let transparent = points.iter().any(|(_, cover)| *cover < 255);
        Ok(Self { width, height, transparent, points })
    }

    fn level(&self, x: usize, y: usize, view: View) -> u8 {
        let (level, cover) = self.points[y * self.width + x];
        let ground = if view.ground == Ground::Light { 255 } else { 0 };
        let (level, cover) = (u32::from(level), u32::from(cover));
        let seen = u8::try_from((level * cover + ground * (255 - cover)) / 255).unwrap_or(255);
        if view.inverted { 255 - seen } else { seen }
    }
}

/// Brightness and cover of a point of one to four samples.
fn brightness(point: &[u8]) -> (u8, u8) {
    let part = |at: usize| point.get(at).copied().unwrap_or(255);
    // Rec. 601's weights.
    let grey = || (299 * u32::from(part(0)) + 587 * u32::from(part(1)) + 114 * u32::from(part(2))) / 1000;
    match point.len() {
        1 => (part(0), 255),
        2 => (part(0), part(1)),
        3 => (u8::try_from(grey()).unwrap_or(255), 255),
        _ => (u8::try_from(grey()).unwrap_or(255), part(3)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URI: &str = "otpauth://totp/Lab:admin?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Lab&period=30";

    /// How a test's picture is coloured: what dark and light modules are, in these samples.
    #[derive(Debug, Clone, Copy)]
    struct Paint {
        colour: png::ColorType,
        dark: &'static [u8],
        light: &'static [u8],
    }

    const GREY: Paint = Paint { colour: png::ColorType::Grayscale, dark: &[0], light: &[255] };
    const RGB: Paint = Paint { colour: png::ColorType::Rgb, dark: &[40, 0, 0], light: &[250, 250, 240] };
    const PAINTS: &[Paint] = &[
        GREY,
        RGB,
        Paint { colour: png::ColorType::Rgba, dark: &[20, 30, 60, 255], light: &[0, 0, 0, 0] },
        // As a page in dark colours shows it.
        Paint { colour: png::ColorType::Grayscale, dark: &[255], light: &[0] },
        Paint { colour: png::ColorType::Rgb, dark: &[230, 230, 230], light: &[30, 30, 40] },
        Paint { colour: png::ColorType::Rgba, dark: &[255, 255, 255, 255], light: &[0, 0, 0, 0] },
        Paint { colour: png::ColorType::Rgba, dark: &[0, 0, 0, 0], light: &[255, 255, 255, 255] },
        Paint { colour: png::ColorType::Rgba, dark: &[0, 0, 0, 0], light: &[0, 0, 0, 255] },
        Paint { colour: png::ColorType::GrayscaleAlpha, dark: &[0, 255], light: &[255, 0] },
    ];

    /// A picture of codes side by side, eight points a module. Of what is `cut`, the middle is missing.
    fn picture(folder: &Path, texts: &[&[u8]], paint: Paint, cut: Option<usize>) -> std::path::PathBuf {
        let codes: Vec<qrcode::QrCode> = texts.iter().map(|text| qrcode::QrCode::new(text).unwrap()).collect();
        let (scale, quiet) = (8, 4);
        let side = (codes.iter().map(|code| code.width()).max().unwrap() + 2 * quiet) * scale;
        let dark = |x: usize, y: usize| {
            let (at, x) = (x / side, x % side);
            let (x, y) = ((x / scale).wrapping_sub(quiet), (y / scale).wrapping_sub(quiet));
            let modules = codes[at].width();
            let blot = cut == Some(at) && (9..modules - 9).contains(&x) && (9..modules).contains(&y);
            x < modules && y < modules && !blot && codes[at][(x, y)] == qrcode::Color::Dark
        };
        let mut data = Vec::new();
        for y in 0..side {
            for x in 0..side * codes.len() {
                data.extend_from_slice(if dark(x, y) { paint.dark } else { paint.light });
            }
        }
        let path =
            tempfile::Builder::new().suffix(".png").tempfile_in(folder).unwrap().into_temp_path().keep().unwrap();
        let points = |count: usize| u32::try_from(count).unwrap();
        let file = std::fs::File::create(&path).unwrap();
        let mut encoder = png::Encoder::new(file, points(side * codes.len()), points(side));
        encoder.set_color(paint.colour);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.write_header().unwrap().write_image_data(&data).unwrap();
        path
    }

    #[test]
    fn a_seed_is_read_from_a_picture_of_any_colour() {
        let folder = tempfile::tempdir().unwrap();
        for paint in PAINTS {
            let path = picture(folder.path(), &[URI.as_bytes()], *paint, None);
            let seed = seed_in(&path).unwrap_or_else(|failure| panic!("{paint:?}: {}", failure.message));
            assert_eq!(seed.expose(), URI, "{paint:?}");
        }
    }

    #[test]
    fn a_label_in_latin_1_and_a_blank_in_front_do_no_harm() {
        let folder = tempfile::tempdir().unwrap();
        let latin =
            [b"otpauth://totp/B\xfcro:j\xf6rg?".as_slice(), &URI.as_bytes()[URI.find("secret").unwrap()..]].concat();
        let marked = format!("\u{feff} {URI}\n");
        for text in [latin.as_slice(), marked.as_bytes()] {
            let seed =
                seed_in(&picture(folder.path(), &[text], GREY, None)).unwrap_or_else(|f| panic!("{}", f.message));
            assert!(same_seed(seed.expose(), URI));
        }
    }

    #[test]
    fn of_two_seeds_none_is_taken_and_of_one_twice_that_one() {
        let folder = tempfile::tempdir().unwrap();
        let (other, label) = (URI.replace("GEZDGNBV", "JBSWY3DP"), URI.replace("Lab:admin", "Lab:root"));
        let longer = URI.to_owned() + "&digits=8";
        let said = |texts: &[&str], cut| {
            let bytes: Vec<&[u8]> = texts.iter().map(|text| text.as_bytes()).collect();
            seed_in(&picture(folder.path(), &bytes, GREY, cut)).map_err(|failure| failure.message)
        };
        for pair in [[URI, &other], [URI, &longer]] {
            let error = said(&pair, None).unwrap_err();
            assert!(error.contains("2 seeds") && !error.contains("GEZDGNBV"), "{error}");
        }
        assert_eq!(said(&[URI, URI], None).unwrap().expose(), URI);
        assert_eq!(said(&[URI, &label], None).unwrap().expose(), URI);
        assert_eq!(said(&["https://example.net/app", URI], None).unwrap().expose(), URI);
        let error = said(&[URI, &other], Some(1)).unwrap_err();
        assert!(error.contains("beside the seed's"), "{error}");
        let error = said(&[URI], Some(0)).unwrap_err();
        assert!(error.contains("blurred"), "{error}");
    }

    #[test]
    fn another_code_no_code_and_no_picture_are_told_apart_and_nothing_of_them_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let said = |path: &Path| seed_in(path).unwrap_err().message;
        let other = said(&picture(folder.path(), &[b"my secret note"], RGB, None));
        assert!(other.contains("does not begin with otpauth://") && !other.contains("note"), "{other}");
        let moved = said(&picture(folder.path(), &[b"otpauth-migration://offline?data=AAAA"], RGB, None));
        assert!(moved.contains("one account") && !moved.contains("AAAA"), "{moved}");
        let blank = folder.path().join("blank.png");
        let mut encoder = png::Encoder::new(std::fs::File::create(&blank).unwrap(), 50, 50);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.write_header().unwrap().write_image_data(&[255; 2500]).unwrap();
        assert!(said(&blank).contains("no QR code"));
        let text = folder.path().join("text.png");
        std::fs::write(&text, "hello").unwrap();
        assert!(said(&text).contains("no PNG"));
        assert!(said(&folder.path().join("absent.png")).contains("absent.png"));
        assert!(said(folder.path()).contains("folder"));
    }
}
