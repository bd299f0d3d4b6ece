//! Compiles `proto/` and emits the descriptor set. No protoc is needed.
//!
//! Messages do not derive `Debug`: a derived one would print tokens, card numbers and names. The
//! implementation written here reads the `sensitivity` option of every field and shows only what
//! may be shown. A field without the option does not compile.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use protox::prost_reflect::{
    DescriptorPool, ExtensionDescriptor, FieldDescriptor, MessageDescriptor, Value,
};

type Outcome<T> = Result<T, Box<dyn Error>>;

const ROOT: &str = "proto";
const OPTION: &str = "qiwi.options.v1.sensitivity";
/// Numbers of `SENSITIVITY_PERSONAL` and `SENSITIVITY_SECRET`.
const HIDDEN: [i32; 2] = [3, 4];

fn main() -> Outcome<()> {
    println!("cargo:rerun-if-changed={ROOT}");
    println!("cargo:rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut files = Vec::new();
    find(Path::new(ROOT), &mut files)?;
    files.sort();

    let mut compiler = protox::Compiler::new([ROOT])?;
    compiler.include_imports(true).include_source_info(true).open_files(&files)?;
    // Encoded by protox, because prost's own types drop custom options.
    let encoded = compiler.encode_file_descriptor_set();
    // Reflection serves these; comments would only make the binary larger.
    let mut bare = protox::Compiler::new([ROOT])?;
    bare.include_imports(true).open_files(&files)?;
    fs::write(out.join("descriptors.bin"), bare.encode_file_descriptor_set())?;

    let pool = DescriptorPool::decode(encoded.as_slice())?;
    let messages: Vec<_> = ours(&pool).map(|message| format!(".{}", message.full_name())).collect();
    tonic_prost_build::configure()
        .build_server(false)
        .build_client(true)
        .skip_debug(messages)
        .bytes(".")
        .include_file("pb.rs")
        .compile_fds(compiler.file_descriptor_set())?;

    fs::write(out.join("debug.rs"), debug(&pool)?)?;
    Ok(())
}

fn find(folder: &Path, files: &mut Vec<PathBuf>) -> Outcome<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            find(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
    Ok(())
}

/// `Debug` for every message of ours.
fn debug(pool: &DescriptorPool) -> Outcome<String> {
    let option = pool.get_extension_by_name(OPTION).ok_or("the sensitivity option is missing")?;
    let mut code = String::new();
    for message in ours(pool) {
        write_debug(&mut code, &message, &option)?;
    }
    Ok(code)
}

fn ours(pool: &DescriptorPool) -> impl Iterator<Item = MessageDescriptor> + '_ {
    let of_ours = |message: &MessageDescriptor| message.package_name().starts_with("qiwi.");
    pool.all_messages().filter(of_ours).filter(|message| !message.is_map_entry())
}

fn write_debug(
    code: &mut String,
    message: &MessageDescriptor,
    option: &ExtensionDescriptor,
) -> Outcome<()> {
    let path = message
        .full_name()
        .split('.')
        .map(|part| if part == "type" { "r#type" } else { part })
        .collect::<Vec<_>>();
    let (name, modules) = path.split_last().ok_or("a message without a name")?;
    let modules = modules.join("::");
    writeln!(code, "impl ::core::fmt::Debug for {modules}::{name} {{")?;
    writeln!(
        code,
        "  fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {{"
    )?;
    writeln!(code, "    let mut shown = f.debug_struct({name:?});")?;
    for field in message.fields() {
        let hidden = hidden(&field, option)?;
        let (name, oneof) = match field.containing_oneof() {
            Some(oneof) if !field.field_descriptor_proto().proto3_optional() => {
                (oneof.name().to_owned(), true)
            }
            _ => (field.name().to_owned(), false),
        };
        let rust = if name == "type" { "r#type" } else { name.as_str() };
        if oneof {
            // Which arm is set is shown; its content has its own Debug or none.
            writeln!(code, "    shown.field({name:?}, &self.{rust}.is_some());")?;
        } else if hidden {
            writeln!(code, "    shown.field({name:?}, &format_args!(\"***\"));")?;
        } else {
            writeln!(code, "    shown.field({name:?}, &self.{rust});")?;
        }
    }
    writeln!(code, "    shown.finish()\n  }}\n}}")?;
    Ok(())
}

fn hidden(field: &FieldDescriptor, option: &ExtensionDescriptor) -> Outcome<bool> {
    let options = field.options();
    match options.get_extension(option).as_ref() {
        Value::EnumNumber(0) => {
            Err(format!("{} has no {OPTION} option; add one", field.full_name()).into())
        }
        Value::EnumNumber(number) => Ok(HIDDEN.contains(number)),
        other => Err(format!("{}: unexpected option value {other:?}", field.full_name()).into()),
    }
}
