//! `rotord`, the daemon. All of it is in the library.

fn main() -> std::process::ExitCode {
    rotord::entry::main()
}
