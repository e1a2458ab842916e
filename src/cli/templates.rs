//! What is done with template files, without a daemon: checking, correcting, playing recordings, drafting.

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use super::Failure;
use super::output::{safe, say};
use crate::config::{Library, files_below, load_file, passed_over};
use crate::control::TemplateBody;
use crate::files;
use crate::model::{Problem, Severity, folder_of};
use crate::recording::{self, Played, Scene};
use crate::template::{self, CODES, Checked, Code, Entry};

/// Checks files, and every `*.template` below folders: the problems, and how many files there were.
pub fn check_templates(paths: &[PathBuf]) -> (Vec<Problem>, usize) {
    let (files, mut problems) = all_files(paths);
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let share = files.len().div_ceil(threads).max(1);
    let found: Vec<Problem> = std::thread::scope(|scope| {
        let work: Vec<_> = files
            .chunks(share)
            .map(|files| scope.spawn(|| files.iter().flat_map(|file| load_file(file).1).collect::<Vec<_>>()))
            .collect();
        work.into_iter().flat_map(|work| work.join().unwrap_or_default()).collect()
    });
    problems.extend(found);
    (problems, files.len())
}

/// The template files among paths and below them, and what could not be looked at.
fn all_files(paths: &[PathBuf]) -> (Vec<PathBuf>, Vec<Problem>) {
    let (mut files, mut problems) = (Vec::new(), Vec::new());
    for path in paths {
        if path.is_dir() {
            let (found, skipped) = files::below(path, "template");
            files.extend(found);
            problems.extend(skipped.into_iter().map(passed_over));
        } else {
            files.push(path.clone());
        }
    }
    (files, problems)
}

pub(super) fn check(paths: &[PathBuf], fix: bool, format: &str) -> Result<u8, Failure> {
    if fix {
        for file in all_files(paths).0 {
            fix_file(&file)?;
        }
    }
    let (problems, checked) = check_templates(paths);
    match format {
        "json" => say!("{}", json!({ "problems": problems, "checked": checked })),
        "sarif" => say!("{}", sarif(&problems)),
        _ => problems.iter().for_each(|problem| say!("{problem}")),
    }
    Ok(exit_of(&problems))
}

fn exit_of(problems: &[Problem]) -> u8 {
    if problems.iter().any(|problem| problem.severity == Severity::Error) { 2 } else { 0 }
}

/// Corrects a file in place, by way of a new one beside it, so that a crash leaves one of the two.
fn fix_file(file: &Path) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::usage(format!("{}: {error}", file.display()));
    // What cannot be read is told by the check that follows.
    let most = u64::try_from(template::MAX_BYTES).unwrap_or(u64::MAX);
    let Ok(text) = files::read_text(file, most) else { return Ok(()) };
    let (fixed, count) = template::fix(&text);
    if count == 0 {
        return Ok(());
    }
    let mut new = tempfile::NamedTempFile::new_in(folder_of(file)).map_err(failed)?;
    new.write_all(fixed.as_bytes()).map_err(failed)?;
    new.as_file().sync_all().map_err(failed)?;
    std::fs::set_permissions(new.path(), std::fs::metadata(file).map_err(failed)?.permissions()).map_err(failed)?;
    new.persist(file).map_err(|error| failed(error.error))?;
    let lines = if count == 1 { "line" } else { "lines" };
    eprintln!("{}: {count} {lines} corrected", file.display());
    Ok(())
}

pub(super) fn explain(code: &str, json: bool) -> Result<u8, Failure> {
    if let Some(entry) = Entry::find(code) {
        return Ok(explain_command(entry, json));
    }
    let Some(code) = Code::find(code) else {
        let known: Vec<&str> = CODES.iter().map(|code| code.code).collect();
        return Err(Failure::usage(format!(
            "'{}' is no code and no command; the codes are {}",
            safe(code),
            known.join(", ")
        )));
    };
    if json {
        let Code { code, severity, title, why, wrong, right } = code;
        say!(
            "{}",
            json!({ "code": code, "severity": severity, "title": title, "why": why, "wrong": wrong, "right": right })
        );
        return Ok(0);
    }
    explain_code(code.code, code.title, code.why, (code.wrong, code.right));
    Ok(0)
}

/// Tells what a code means, with lines that get it and lines that do not.
pub(crate) fn explain_code(code: &str, title: &str, why: &str, (wrong, right): (&str, &str)) {
    let indented = |text: &str| text.lines().map(|line| format!("    {line}\n")).collect::<String>();
    say!("{code}: {title}\n\n{why}");
    if !wrong.is_empty() {
        say!("\nThis gets it:\n\n{}\nThis does not:\n\n{}", indented(wrong), indented(right).trim_end());
    }
}

fn explain_command(entry: &Entry, json: bool) -> u8 {
    let Entry { names, meaning, example, .. } = entry;
    let (usage, aliases) = (entry.usage(), &names[1..]);
    if json {
        say!("{}", json!({ "command": usage, "aliases": aliases, "meaning": meaning, "example": example }));
    } else {
        let also = if aliases.is_empty() { String::new() } else { format!(" (also {})", aliases.join(", ")) };
        say!("{usage}{also}: {meaning}\n\nFor example:\n\n    {example}");
    }
    0
}

/// The problems as a SARIF 2.1.0 log (OASIS Static Analysis Results Interchange Format).
fn sarif(problems: &[Problem]) -> serde_json::Value {
    let level = |severity| if severity == Severity::Error { "error" } else { "warning" };
    let rules: Vec<_> = CODES
        .iter()
        .map(|code| {
            json!({
                "id": code.code,
                "shortDescription": { "text": code.title },
                "fullDescription": { "text": code.why },
                "defaultConfiguration": { "level": level(code.severity) },
            })
        })
        .collect();
    let results: Vec<_> = problems
        .iter()
        .map(|problem| {
            let place = json!({ "uri": problem.file });
            let mut result = json!({
                "ruleId": problem.code,
                "level": level(problem.severity),
                "message": { "text": problem.message },
                "locations": [{ "physicalLocation": {
                    "artifactLocation": place,
                    "region": { "startLine": problem.line, "startColumn": problem.column,
                                "endColumn": problem.column + problem.width.max(1) },
                } }],
            });
            if let (Some(fix), Some(fields)) = (&problem.fix, result.as_object_mut()) {
                let region = json!({ "startLine": problem.line, "startColumn": 1,
                                     "endColumn": problem.source.chars().count() + 1 });
                let change = json!({ "artifactLocation": place,
                                     "replacements": [{ "deletedRegion": region, "insertedContent": { "text": fix } }] });
                fields.insert("fixes".into(), json!([{ "artifactChanges": [change] }]));
            }
            result
        })
        .collect();
    let driver = json!({ "name": "rotorctl", "version": env!("CARGO_PKG_VERSION"), "rules": rules });
    json!({ "version": "2.1.0", "runs": [{ "tool": { "driver": driver }, "columnKind": "unicodeCodePoints", "results": results }] })
}

/// Reads a template by its path, or by its name in the folders; and its file.
fn find(name: &str, folders: &[PathBuf]) -> Result<(Arc<Checked>, PathBuf), Failure> {
    let path = Path::new(name);
    if path.is_file() {
        let (checked, problems) = load_file(path);
        let checked = checked.map(Arc::new).ok_or_else(|| Failure::usage(told(&problems)))?;
        return Ok((checked, path.to_owned()));
    }
    find_in(&Library::read(folders, &mut Vec::new()), name)
}

fn find_in(library: &Library, name: &str) -> Result<(Arc<Checked>, PathBuf), Failure> {
    let entry = library.find(name).map_err(Failure::usage)?;
    let checked = entry.template.clone().ok_or_else(|| Failure::usage(told(&load_file(&entry.file).1)))?;
    Ok((checked, entry.file.clone()))
}

/// A recording of either kind.
enum AnyRecording {
    Terminal(recording::Recording),
    Web(recording::WebRecording),
}

impl AnyRecording {
    fn template(&self) -> Option<&str> {
        match self {
            Self::Terminal(recording) => recording.template.as_deref(),
            Self::Web(recording) => recording.template.as_deref(),
        }
    }

    /// How many of the device's lines or pages were seen, and how many there are.
    fn evidence(&self) -> (usize, usize) {
        match self {
            Self::Terminal(recording) => recording
                .scenes
                .iter()
                .fold((0, 0), |(seen, lines), scene| (seen + scene.evidence.seen, lines + scene.evidence.lines)),
            Self::Web(recording) => {
                let evidence = recording.evidence();
                (evidence.seen, evidence.lines)
            }
        }
    }

    /// Plays every scene: its title, and what came of it.
    fn play(&self, template: &Arc<Checked>, file: &Path) -> Result<Vec<(String, Played)>, Failure> {
        let file = safe(&file.display().to_string());
        match (self, template.web()) {
            (Self::Terminal(recording), None) => {
                let played = |scene: &Scene| (scene.title.clone(), recording::play_all(template, scene));
                Ok(recording.scenes.iter().map(played).collect())
            }
            (Self::Web(recording), Some(_)) => {
                let played = |scene: &recording::WebScene| {
                    (scene.title.clone(), recording::play_web(template, recording, scene))
                };
                Ok(recording.scenes.iter().map(played).collect())
            }
            (Self::Terminal(_), Some(_)) => {
                let why = "is a web template, and the recording is one of a terminal: it has no '@ page NAME ADDRESS'";
                Err(Failure::usage(format!("{file} {why}")))
            }
            (Self::Web(_), None) => {
                Err(Failure::usage(format!("{file} is no web template, and the recording is one of a web application")))
            }
        }
    }
}

fn told(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn read_recording(file: &Path) -> Result<AnyRecording, Failure> {
    let most = u64::try_from(recording::MAX_BYTES).unwrap_or(u64::MAX);
    let text = files::read_text(file, most).map_err(|error| Failure::usage(format!("{}: {error}", file.display())))?;
    let (recording, problems) = if recording::is_web_recording(&text) {
        let (recording, problems) = recording::parse_web(file, &text);
        (AnyRecording::Web(recording), problems)
    } else {
        let (recording, problems) = recording::parse(file, &text);
        (AnyRecording::Terminal(recording), problems)
    };
    if problems.is_empty() { Ok(recording) } else { Err(Failure::usage(told(&problems))) }
}

pub(super) fn run(name: &str, against: &Path, trace: bool, folders: &[PathBuf], json: bool) -> Result<u8, Failure> {
    let (template, file) = find(name, folders)?;
    let played = read_recording(against)?.play(&template, &file)?;
    let good = played.iter().all(|(_, played)| played.problem.is_none());
    if json {
        let scenes: Vec<_> = played
            .iter()
            .map(|(scene, played)| json!({ "scene": scene, "ok": played.problem.is_none(), "problem": played.problem, "note": played.note, "trace": played.trace }))
            .collect();
        say!("{}", json!({ "template": file, "scenes": scenes }));
        return Ok(if good { 0 } else { 1 });
    }
    say!("template {}, recording {}", safe(&file.display().to_string()), safe(&against.display().to_string()));
    for (scene, played) in &played {
        let told = match (&played.problem, &played.note) {
            (Some(problem), _) => problem.clone(),
            (None, Some(note)) => format!("ok; {note}"),
            (None, None) => "ok".into(),
        };
        say!("{}: {}", safe(scene), safe(&told));
        if trace || played.problem.is_some() {
            played.trace.iter().for_each(|line| say!("    {}", safe(line)));
        }
    }
    Ok(if good { 0 } else { 1 })
}

pub(super) fn test(paths: &[PathBuf], folders: &[PathBuf], json: bool) -> Result<u8, Failure> {
    let files: Vec<PathBuf> = paths
        .iter()
        .flat_map(|path| if path.is_dir() { files_below(path, "recording") } else { vec![path.clone()] })
        .collect();
    if files.is_empty() {
        return Err(Failure::usage("there is no *.recording file there"));
    }
    let folders = if folders.is_empty() { paths } else { folders };
    let library = Library::read(folders, &mut Vec::new());
    let mut results = Vec::new();
    let (mut seen, mut lines) = (0, 0);
    for file in &files {
        let recording = read_recording(file)?;
        let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let name = recording.template().map_or(stem, str::to_owned);
        let (template, of) = find_in(&library, &name)
            .map_err(|failure| Failure { message: format!("{}: {}", file.display(), failure.message), ..failure })?;
        for (scene, played) in recording.play(&template, &of)? {
            results.push((file.clone(), name.clone(), scene, played));
        }
        let (was_seen, all) = recording.evidence();
        (seen, lines) = (seen + was_seen, lines + all);
    }
    let failed = results.iter().filter(|(.., played)| played.problem.is_some()).count();
    if json {
        let all: Vec<_> = results
            .iter()
            .map(|(file, template, scene, Played { problem, note, .. })| json!({ "file": file, "template": template, "scene": scene, "ok": problem.is_none(), "problem": problem, "note": note }))
            .collect();
        say!("{}", json!({ "results": all, "failed": failed, "device_lines": lines, "seen_lines": seen }));
    } else {
        for (file, _, scene, Played { problem, note, .. }) in &results {
            let told = problem.clone().or_else(|| note.as_ref().map(|note| format!("ok; {note}")));
            if let Some(told) = told {
                say!("{}: {}: {}", file.display(), safe(scene), safe(&told));
            }
        }
        say!("{} scenes of {} recordings: {failed} failed", results.len(), files.len());
        if seen > 0 {
            say!("{seen} of {lines} lines or pages of devices were seen, the others are assumed");
        }
    }
    Ok(if failed == 0 { 0 } else { 1 })
}

/// Whether a template's name, vendor and product have all of the words, in either case.
pub(super) fn has_words(template: &TemplateBody, words: &[String]) -> bool {
    let text = format!("{} {}", template.name, template.about).to_lowercase();
    words.iter().all(|word| text.contains(&word.to_lowercase()))
}

/// The files of a template to be and of its recording.
pub(super) struct NewFiles {
    template: PathBuf,
    recording: PathBuf,
}

impl NewFiles {
    /// NAME.template and NAME.recording, neither of which exists.
    pub(super) fn of(name: &str) -> Result<Self, Failure> {
        let [template, recording] = ["template", "recording"].map(|ending| PathBuf::from(format!("{name}.{ending}")));
        for path in [&template, &recording] {
            if path.exists() {
                let why = format!("{} exists; move it away or choose another name", path.display());
                return Err(Failure::usage(why));
            }
        }
        Ok(Self { template, recording })
    }

    pub(super) fn write(&self, template: &str, recording: &str) -> Result<(), Failure> {
        super::local::write_new(&self.template, template.as_bytes())?;
        super::local::write_new(&self.recording, recording.as_bytes())
    }
}

/// One question on stderr, its answer from stdin; the default where nothing is typed.
fn ask(question: &str, default: &str) -> Result<String, Failure> {
    if std::io::stdin().is_terminal() {
        eprint!("{question} [{default}]: ");
    }
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(|error| Failure::unexpected(error.to_string()))?;
    let answer = line.trim();
    if answer.contains('"') || answer.chars().any(char::is_control) {
        return Err(Failure::usage("an answer may not hold quotes or control characters"));
    }
    Ok(if answer.is_empty() { default.to_owned() } else { answer.to_owned() })
}

pub(super) fn new(name: &str) -> Result<u8, Failure> {
    let files = NewFiles::of(name)?;
    let vendor = ask("Vendor of the device", "Example")?;
    let product = ask("Product and versions", name)?;
    let prompt = ask("The last characters of its prompt, such as $ or #", "$")?;
    let command = ask("The command that changes the password", "passwd")?;
    let current = ask("The end of the question for the current password, or 'none'", "urrent password:")?;
    let fresh = ask("The end of the question for the new password", "ew password:")?;
    let again = ask("The end of the question for the new password once more, or 'none'", "etype new password:")?;
    let done =
        ask("Words that say that it is changed, or 'prompt' where only the prompt comes back", "updated successfully")?;
    let refused = ask("Words that say that the new password is not taken", "BAD PASSWORD")?;
    let (template, recording) =
        draft(&Questions { vendor, product, prompt, command, current, fresh, again, done, refused });
    files.write(&template, &recording)?;
    say!(
        "{} and {} are written. Compare them with the device, then: rotorctl template test {}",
        files.template.display(),
        files.recording.display(),
        folder_of(&files.recording).display()
    );
    Ok(0)
}

struct Questions {
    vendor: String,
    product: String,
    prompt: String,
    command: String,
    current: String,
    fresh: String,
    again: String,
    done: String,
    refused: String,
}

/// A template and a recording of what was answered.
fn draft(q: &Questions) -> (String, String) {
    let none = |text: &str| text == "none";
    let mut template = format!(
        "# {} {}\ninfo vendor \"{}\"\ninfo product \"{}\"\ninfo tested \"not yet\"\nset-ssh-version 2\nset-connect-timeout 10\nset-read-timeout 15\nexpect \"*{}\"\nexec \"{}\"\n",
        q.vendor, q.product, q.vendor, q.product, q.prompt, q.command
    );
    let mut begin = format!("? {} |\n> {}\n", q.prompt, q.command);
    if !none(&q.current) {
        template.push_str(&format!("expect \"*{}\"\nexec \"[#CURRENT_PASSWORD#]\"\n", q.current));
        begin.push_str(&format!("? {} |\n* [#CURRENT_PASSWORD#]\n", q.current));
    }
    template.push_str(&format!("expect \"*{}\"\nexec \"[#NEW_PASSWORD#]\"\nno-expect \"*{}*\"\n", q.fresh, q.refused));
    begin.push_str(&format!("? {} |\n* [#NEW_PASSWORD#]\n", q.fresh));
    let mut good = begin.clone();
    if !none(&q.again) {
        template
            .push_str(&format!("expect \"*{}\"\nexec \"[#NEW_PASSWORD#]\"\nno-expect \"*{}*\"\n", q.again, q.refused));
        good.push_str(&format!("? {} |\n* [#NEW_PASSWORD#]\n", q.again));
    }
    if q.done == "prompt" {
        template.push_str(&format!("expect \"*{}\"\n", q.prompt));
    } else {
        template.push_str(&format!("expect \"*{}*\"\n", q.done));
        good.push_str(&format!("< {}\n", q.done));
    }
    good.push_str(&format!("? {} |\n", q.prompt));
    template.push_str("exec \"exit\"\nend\n");
    good.push_str("> exit\n");
    let recording = format!(
        "# What {} {} prints (<, ?) and is sent (>, or * where it is not shown).\n@ scene the password is changed\n{good}\n@ scene the new password is refused\n@ outcome refused\n{begin}< {}\n",
        q.vendor, q.product, q.refused
    );
    (template, recording)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_found_by_words_of_its_name_vendor_and_product() {
        let template = TemplateBody {
            name: "cisco/cisco-ios-enable".into(),
            file: String::new(),
            about: "Cisco IOS 15.x (unproven: no device was at hand)".into(),
            sound: true,
        };
        let has =
            |words: &[&str]| has_words(&template, &words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert!(has(&[]) && has(&["IOS", "Enable"]) && has(&["unproven"]));
        assert!(!has(&["ios", "junos"]));
    }
}
