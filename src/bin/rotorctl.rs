//! `rotorctl`, the operator's tool. All of it is in the library.

fn main() -> std::process::ExitCode {
    rotord::cli::main()
}
