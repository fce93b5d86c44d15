//! A user's definitions laid over those that are there: files in, files out.
//!
//! A descriptor pool wants every full name once, and every file to import what it uses. So a definition that a new file
//! brings is taken out of the file that had it, and that file then forwards to the new one by a public import: whoever
//! imported the old file sees the new definition.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    ServiceDescriptorProto,
};

use super::SchemaError;

/// Adds `added` to `files`, and gives the names of the definitions that changed.
pub(super) fn merge(
    files: &mut Vec<FileDescriptorProto>,
    added: Vec<FileDescriptorProto>,
) -> Result<Vec<String>, SchemaError> {
    let mut replaced = Vec::new();
    for mut file in added {
        check(&file)?;
        file.source_code_info = None;
        if !files.contains(&file) {
            replaced.extend(merge_file(files, file));
        }
    }
    Ok(replaced)
}

/// What the descriptor pool takes for granted.
fn check(file: &FileDescriptorProto) -> Result<(), SchemaError> {
    if file.name().is_empty() {
        return Err(SchemaError::NotADescriptorSet {
            cause: "a file in it has no name".to_owned(),
        });
    }
    match file.syntax() {
        "" | "proto2" | "proto3" => Ok(()),
        other => Err(SchemaError::Syntax {
            file: file.name().to_owned(),
            syntax: other.to_owned(),
        }),
    }
}

fn merge_file(files: &mut Vec<FileDescriptorProto>, mut new: FileDescriptorProto) -> Vec<String> {
    let definitions = definitions(&new);
    let mut replaced = Vec::new();
    for old in files.iter_mut() {
        let mut forward = false;
        for (name, definition) in self::definitions(old) {
            if let Some(newer) = definitions.get(&name) {
                forward = true;
                if definition != *newer {
                    replaced.push(name);
                }
            }
        }
        if forward {
            remove(old, &definitions);
            import_publicly(old, new.name());
        }
    }

    // A file of the same name gives it up. Both forward to each other, as importers of the name may mean either.
    let taken: BTreeSet<String> = files.iter().map(|f| f.name().to_owned()).collect();
    if taken.contains(new.name()) {
        let mut spare = format!("{}~", new.name());
        while taken.contains(&spare) {
            spare.push('~');
        }
        for old in files.iter_mut().filter(|f| f.name() == new.name()) {
            old.name = Some(spare.clone());
            import_publicly(old, new.name());
        }
        import_publicly(&mut new, &spare);
    }
    files.push(new);
    replaced
}

/// A definition as far as it decides what bytes mean and how they are shown.
#[derive(PartialEq)]
enum Definition {
    Message(DescriptorProto, Syntax),
    Enum(EnumDescriptorProto, Syntax),
    Service(ServiceDescriptorProto),
    Extension(FieldDescriptorProto),
}

/// Presence and packing follow from the syntax of the file.
#[derive(PartialEq, Clone, Copy)]
enum Syntax {
    Proto2,
    Proto3,
}

/// What `file` defines at its top level, by full name.
fn definitions(file: &FileDescriptorProto) -> BTreeMap<String, Definition> {
    let syntax = if file.syntax() == "proto3" {
        Syntax::Proto3
    } else {
        Syntax::Proto2
    };
    let name = |name: &str| full_name(file.package(), name);
    let messages = file.message_type.iter().map(|m| {
        let mut plain = m.clone();
        plain.options = None;
        plain.field.sort_by_key(FieldDescriptorProto::number);
        // Compilers differ in whether they spell out the default.
        plain.field.iter_mut().for_each(|f| f.json_name = None);
        (name(m.name()), Definition::Message(plain, syntax))
    });
    let enums = file
        .enum_type
        .iter()
        .map(|e| (name(e.name()), Definition::Enum(e.clone(), syntax)));
    let services = file
        .service
        .iter()
        .map(|s| (name(s.name()), Definition::Service(s.clone())));
    let extensions = file
        .extension
        .iter()
        .map(|e| (name(e.name()), Definition::Extension(e.clone())));
    messages
        .chain(enums)
        .chain(services)
        .chain(extensions)
        .collect()
}

fn remove(file: &mut FileDescriptorProto, gone: &BTreeMap<String, Definition>) {
    let package = file.package().to_owned();
    let keep = |name: &str| !gone.contains_key(&full_name(&package, name));
    file.message_type.retain(|m| keep(m.name()));
    file.enum_type.retain(|e| keep(e.name()));
    file.service.retain(|s| keep(s.name()));
    file.extension.retain(|e| keep(e.name()));
}

fn full_name(package: &str, name: &str) -> String {
    if package.is_empty() {
        name.to_owned()
    } else {
        format!("{package}.{name}")
    }
}

fn import_publicly(file: &mut FileDescriptorProto, import: &str) {
    let index = file
        .dependency
        .iter()
        .position(|d| d == import)
        .unwrap_or_else(|| {
            file.dependency.push(import.to_owned());
            file.dependency.len().saturating_sub(1)
        });
    if let Ok(index) = i32::try_from(index)
        && !file.public_dependency.contains(&index)
    {
        file.public_dependency.push(index);
    }
}

/// Gives each file an import of everything that it sees through public imports, and none of them public.
///
/// prost-reflect accepts files that import each other when they come together, but it follows public imports one step far
/// and without an end where they run in a circle.
pub(super) fn link(files: &[FileDescriptorProto]) -> Result<Vec<FileDescriptorProto>, SchemaError> {
    let by_name: HashMap<&str, &FileDescriptorProto> =
        files.iter().map(|f| (f.name(), f)).collect();
    let mut linked = Vec::with_capacity(files.len());
    for file in files {
        let mut seen = BTreeSet::new();
        let mut todo: Vec<(&FileDescriptorProto, &str)> = file
            .dependency
            .iter()
            .map(|import| (file, import.as_str()))
            .collect();
        while let Some((importer, import)) = todo.pop() {
            if !seen.insert(import) {
                continue;
            }
            let imported = by_name
                .get(import)
                .ok_or_else(|| SchemaError::MissingImport {
                    file: importer.name().to_owned(),
                    import: import.to_owned(),
                })?;
            let public = imported.public_dependency.iter();
            let public = public.filter_map(|&i| imported.dependency.get(usize::try_from(i).ok()?));
            todo.extend(public.map(|import| (*imported, import.as_str())));
        }
        seen.remove(file.name());
        linked.push(FileDescriptorProto {
            dependency: seen.into_iter().map(str::to_owned).collect(),
            public_dependency: Vec::new(),
            weak_dependency: Vec::new(),
            ..file.clone()
        });
    }
    Ok(linked)
}
