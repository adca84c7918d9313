# SPDX-License-Identifier: LGPL-2.1-or-later

"""Finds differences between what the files of api/ promise and what the daemon and its sources do.

Everything here is a function from texts to a list of sentences, one for each difference, so that test_differences.py can
feed it with altered texts.
"""

import re

# Each documented limit, and where the sources have it: a file, and a pattern with the number.
LIMITS = {
    "UUIDs known": ("host/config.h", r"\.devices_max = (\w+)"),
    "definitions being changed": ("host/config.h", r"\.operations_max = (\w+)"),
    "creations in one driver": ("host/config.h", r"\.creations_per_driver_max = (\w+)"),
    "operations waiting": ("host/config.h", r"\.operations_queued_max = (\w+)"),
    "calls of one client": ("host/config.h", r"\.calls_per_client_max = (\w+)"),
    "bytes of calls of one client": ("bus/turns.h", r"define CALLS_SIZE_MAX \(([^)]+)\)"),
    "authorizations pending": ("host/config.h", r"\.authorizations_max = (\w+)"),
    "authorizations pending of one user": ("host/config.h", r"\.authorizations_per_user_max = (\w+)"),
    "definitions of one device": ("model/definition.h", r"define DEFINITIONS_MAX (\w+)"),
    "bytes of an answer": ("bus/bus-private.h", r"define REPLY_SIZE_MAX \(([^)]+)\)"),
    "attributes": ("model/name.h", r"define ATTRIBUTES_MAX (\w+)"),
    "bytes of attributes": ("model/name.h", r"define ATTRIBUTES_SIZE_MAX (\w+)"),
    "bytes of an attribute's name": ("model/name.h", r"define ATTRIBUTE_NAME_LENGTH_MAX (\w+)"),
    "bytes of an attribute's value": ("model/name.h", r"define ATTRIBUTE_VALUE_LENGTH_MAX (\w+)"),
    "bytes of a parent's or type's name": ("model/name.h", r"define NAME_LENGTH_MAX (\w+)"),
    "bytes of a definition's text": ("host/codec.h", r"define DEFINITION_TEXT_MAX[\s\\]*\(([^)]+)\)"),
    "depth of a definition's text": ("host/codec.h", r"define DEFINITION_DEPTH_MAX (\w+)"),
    "invalid definitions told": ("core/invalid.c", r"define INVALID_MAX (\w+)"),
    "troubles told": ("core/troubles.c", r"define TROUBLES_MAX (\w+)"),
    "bytes of a script's message": ("host/callout.c", r"define SAID_MAX (\w+)"),
}


def only_in_one(what, left, left_name, right, right_name):
    """What one of two sets has and the other has not."""
    left, right = set(left), set(right)
    return [f"{what} {x} is {left_name}, but not {right_name}" for x in sorted(left - right)] + [
        f"{what} {x} is {right_name}, but not {left_name}" for x in sorted(right - left)
    ]


# Interfaces


def members(interface):
    """Each member with all that a client sees of it, in a form that can be compared and read."""
    shapes = {}
    for kind in ("methods", "signals"):
        for m in getattr(interface, kind).values():
            arguments = [f"{a.direction} {a.type} {a.name}" for a in m.arguments]
            shapes[f"{kind[:-1]} {m.name}"] = f"({', '.join(arguments)}) {m.annotations or ''}".strip()
    for p in interface.properties.values():
        shapes[f"property {p.name}"] = f"{p.type} {p.access}, emits {p.emits}"
    return shapes


def interface_differences(documented, actual):
    """Both are interfaces by name."""
    found = only_in_one("interface", documented, "documented", actual, "there")
    for name in documented.keys() & actual.keys():
        left, right = members(documented[name]), members(actual[name])
        found += only_in_one(f"{name}:", left, "documented", right, "there")
        found += [
            f"{name}: {m} is documented as {left[m]}, but is {right[m]}"
            for m in sorted(left.keys() & right.keys())
            if left[m] != right[m]
        ]
    return found


def is_empty(elements):
    return not any("".join(e.itertext()).strip() for e in elements)


def undocumented(interface):
    """What has no text that says what it is."""
    found = []

    def need(name, elements):
        if is_empty(elements):
            found.append(f"{name} is not documented")

    need(interface.name, interface.documented("summary"))
    need(interface.name, interface.documented("para"))
    for m in [*interface.methods.values(), *interface.signals.values()]:
        name = f"{interface.name}.{m.name}"
        need(name, m.documented("para"))
        if not m.documented("error") and m.name in interface.methods:
            found.append(f"{name} has no errors")
        for a in m.arguments:
            need(f"{name}, argument {a.name}", a.documented("summary"))
            for option in a.documented("option"):
                need(f"{name}, option {option.get('name')}", [option])
    for p in interface.properties.values():
        need(f"{interface.name}.{p.name}", p.documented("para"))
    return found


# The sources: C, as clang-format leaves it


def strings_of_header(text):
    """Its macros that are strings, and what they are."""
    values = {}
    for name, words in re.findall(r'^#define (\w+)[\s\\]+((?:\w+ )?"[^"]*")', text, re.M):
        prefix, _, rest = words.rpartition(" ")
        values[name] = values.get(prefix, "") + rest.strip('"')
    return values


def header_errors(names):
    return {v for k, v in names.items() if k.startswith("MDEVD_ERROR_") and k != "MDEVD_ERROR_PREFIX"}


def header_actions(names):
    return {v for k, v in names.items() if k.startswith("MDEVD_ACTION_")}


def error_of_macro(macro, names):
    """MDEVD_ERROR_EXISTS or SD_BUS_ERROR_INVALID_ARGS as a name on the bus."""
    if macro in names:
        return names[macro]
    words = macro.removeprefix("SD_BUS_ERROR_").split("_")
    return "org.freedesktop.DBus.Error." + "".join(w.title() for w in words)


def wordings(text):
    """bus/error.c's table: which kind of failure has which macro for its name; and the text without the table."""
    table = re.search(r"^static const Wording wordings\[.*?^\};\n", text, re.M | re.S)
    kinds = dict(re.findall(r"\[(FAILURE_\w+)\] = \{\s*(\w+),", table.group()))
    return kinds, text.replace(table.group(), "")


def without_comments(text):
    return re.sub(r"/\*.*?\*/", "", text, flags=re.S)


def kinds_raised(text):
    """Kinds of failure that a source makes, and not only asks for or lists in a table."""
    text = re.sub(r"(?:[=!]= |case |\[)FAILURE_\w+", "", without_comments(text))
    return set(re.findall(r"\bFAILURE_[A-Z_]+\b", text)) - {"FAILURE_NONE", "FAILURE_INIT"}


def raised_errors(sources, names):
    """All error names that replies can have. @sources: the daemon's C files by path."""
    kinds, rest = wordings(sources["bus/error.c"])
    made = set().union(*(kinds_raised(t) for path, t in sources.items() if path != "bus/error.c"))
    macros = {macro for kind, macro in kinds.items() if kind in made}
    for path, text in {**sources, "bus/error.c": rest}.items():
        if path.startswith("bus/"):
            # What an answer to us is compared with is not raised.
            raised = re.sub(r"is_method_error\([^)]*\)", "", without_comments(text))
            macros |= set(re.findall(r"\b(?:MDEVD|SD_BUS)_ERROR_[A-Z_]+\b", raised))
    return {error_of_macro(m, names) for m in macros if m not in ("SD_BUS_ERROR_NULL", "MDEVD_ERROR_PREFIX")}


def functions(text):
    """The functions of a C file, by name, with their bodies."""
    return dict(re.findall(r"^\w[^;{}=]*?\b(\w+)\((?:[^(){};]|\([^()]*\))*\) \{\n(.*?)^\}", text, re.M | re.S))


def calls(bodies, name, seen=()):
    """Every function that one calls, itself first, in the order of the calls; each with the words that follow."""
    yield name
    for called in re.findall(r"\b(\w+)\(", bodies[name]):
        if called == "read_options":
            yield f"{name} reads options"
        elif called in bodies and called not in (name, *seen):
            yield from calls(bodies, called, (name, *seen))


def handlers(text):
    """manager-object.c's vtable: which function handles which method."""
    return dict(re.findall(r'SD_BUS_METHOD_WITH_ARGS\("(\w+)".*?\b(method_\w+)\)?,', text, re.S))


def option_signatures(text):
    """bus/arguments.c's table: which kind of option has which signature."""
    return dict(re.findall(r'\[(OPTION_\w+)\] = \{ "([^"]+)"', text))


def options_in(body, signatures):
    return {name: signatures[kind] for name, kind in re.findall(r'\{ "([\w-]+)", (OPTION_\w+),', body)}


def accepted_options(sources):
    """For each method the dictionaries that it reads, in order: options with their signatures."""
    signatures = option_signatures(sources["bus/arguments.c"])
    bodies = {**functions(sources["bus/manager-verbs.c"]), **functions(sources["bus/manager-lists.c"])}
    accepted = {}
    for method, handler in handlers(sources["bus/manager-object.c"]).items():
        readers = [c.split()[0] for c in calls(bodies, handler) if c.endswith("reads options")]
        accepted[method] = [options_in(bodies[r], signatures) for r in readers]
    return accepted


def used_actions(sources, names):
    """For each method the polkit actions that it asks for."""
    bodies = {**functions(sources["bus/manager-verbs.c"]), **functions(sources["bus/manager-lists.c"])}
    used = {}
    for method, handler in handlers(sources["bus/manager-object.c"]).items():
        text = "".join(bodies[c] for c in calls(bodies, handler) if c in bodies)
        used[method] = {names[m] for m in re.findall(r"\bMDEVD_ACTION_\w+", text)}
    return used


# Errors


def error_differences(interfaces, in_header, raised):
    """@interfaces: as documented, in a list, the first of which explains all errors."""
    explained = {e.get("name") for e in interfaces[0].documented("error")}
    of_methods = {e.get("name") for i in interfaces for m in i.methods.values() for e in m.documented("error")}
    found = [f"error {e} is in the header, but not documented" for e in sorted(in_header - explained)]
    found += [f"error {e} is raised, but not documented" for e in sorted(raised - explained)]
    found += [f"error {e} is documented, but never raised" for e in sorted(explained - raised)]
    found += [f"error {e} is documented, but no method has it" for e in sorted(explained - of_methods)]
    found += [f"error {e} is one of a method, but not explained" for e in sorted(of_methods - explained)]
    found += [f"error {e} is explained without a word" for e in sorted(explained) if is_empty_error(interfaces[0], e)]
    return found


def is_empty_error(interface, name):
    return is_empty([e for e in interface.documented("error") if e.get("name") == name])


# Options


def documented_options(method):
    """The dictionaries that a method takes, in order: options with their types."""
    return [
        {o.get("name"): o.get("type") for o in a.documented("option")} for a in method.side("in") if a.type == "a{sv}"
    ]


def option_differences(interface, accepted):
    found = only_in_one("method", interface.methods, "documented", accepted, "in the vtable")
    for name in sorted(interface.methods.keys() & accepted.keys()):
        documented = documented_options(interface.methods[name])
        if len(documented) != len(accepted[name]):
            found.append(f"{name}: {len(documented)} dictionaries are documented, but {len(accepted[name])} are read")
        for left, right in zip(documented, accepted[name]):
            left, right = ({f"{k} ({v})" for k, v in side.items()} for side in (left, right))
            found += only_in_one(f"{name}: option", left, "documented", right, "accepted")
    return found


# polkit


def shipped_actions(policy):
    return set(re.findall(r'<action id="([^"]+)"', policy))


def action_differences(interface, used, in_header, policy):
    """@used: actions of each method. @policy: the text of the policy file."""
    all_used = set().union(*used.values())
    found = only_in_one("action", all_used, "used", shipped_actions(policy), "shipped")
    found += only_in_one("action", in_header, "in the header", all_used, "used")
    for name, m in interface.methods.items():
        documented = {p.get("action") for p in m.documented("permission")}
        found += only_in_one(f"{name}: action", documented, "documented", used.get(name, set()), "used")
    return found


# Journal messages


def header_messages(text):
    """Ids of mdevd-messages.h, each with the fields that its comment lists."""
    entries = re.findall(r'/\*((?:[^*]|\*(?!/))*)\*/\n#define MDEVD_MESSAGE_\w+ "(\w+)"', text)
    return {id: set(re.findall(r"\b(?:MDEVD_\w+|ERRNO)\b", comment)) for comment, id in entries}


def catalog_entries(text):
    """Entries of a catalog by their ids: a header of fields, and a body."""
    entries = {}
    for part in re.split(r"^-- ", text, flags=re.M)[1:]:
        first, _, rest = part.partition("\n")
        head, _, body = rest.partition("\n\n")
        entries[first.strip()] = (dict(line.split(": ", 1) for line in head.splitlines()), body.strip())
    return entries


def message_differences(header, catalog):
    messages, entries = header_messages(header), catalog_entries(catalog)
    found = only_in_one("message", messages, "in the header", entries, "in the catalog")
    if header.count("#define MDEVD_MESSAGE_") != len(messages):
        found.append("a message of the header has no comment, or its id is used twice")
    if len(re.findall(r"^-- ", catalog, re.M)) != len(entries):
        found.append("a message is in the catalog twice")
    for id in sorted(messages.keys() & entries.keys()):
        head, body = entries[id]
        found += [f"message {id} has no {f} in the catalog" for f in ("Subject", "Defined-By") if not head.get(f)]
        if not body:
            found.append(f"message {id} says nothing in the catalog")
        wanted = set(re.findall(r"@(\w+)@", head.get("Subject", "") + body))
        found += [f"message {id} has no field {f}" for f in sorted(wanted - messages[id])]
    return found


# Limits


def number(text):
    """A constant of C: numbers, products."""
    product = 1
    for factor in text.split("*"):
        product *= int(factor.strip().rstrip("U"))
    return product


def limit_differences(interface, sources, settings):
    """@settings: the keys that the configuration file can have."""
    documented = {e.get("name"): e for e in interface.documented("limit")}
    found = only_in_one("limit", documented, "documented", LIMITS, "known to this test")
    for name in sorted(documented.keys() & LIMITS.keys()):
        path, pattern = LIMITS[name]
        values = {number(v) for v in re.findall(pattern, sources[path])}
        if values != {int(documented[name].get("value"))}:
            found.append(f"limit {name} is documented as {documented[name].get('value')}, but is {values or 'nowhere'}")
    named = {e.get("setting") for e in documented.values()} - {None}
    return found + only_in_one("setting", named, "documented", settings, "read")


# Settings


def settings(config_c, config_h):
    """Each option of the configuration file with its section and its default."""
    fields = re.findall(r'\{ "(\w+)", "(\w+)", offsetof\(Config, (\w+)\)', config_c)
    return {(section, key): re.search(rf"\.{field} = (\w+)", config_h)[1] for section, key, field in fields}


def documented_settings(page):
    """The same of the manual page."""
    found = {}
    for title, body in re.findall(r'^\.SH "?\[(\w+)\] SECTION"?\n(.*?)(?=^\.SH)', page, re.M | re.S):
        for key, text in re.findall(r"^\.TP\n\.I (\w+)=\n(.*?)(?=^\.TP|\Z)", body, re.M | re.S):
            default = re.search(r"^Default: (\w+)\.$", text, re.M)
            found[title.lower(), key] = default and default[1]
    return found


def setting_differences(actual, page):
    actual = {(section.lower(), key): default for (section, key), default in actual.items()}
    documented = documented_settings(page)
    found = only_in_one("option", documented, "documented", actual, "read")
    return found + [
        f"option {key} is documented with the default {documented[section, key]}, but has {default}"
        for (section, key), default in actual.items()
        if documented.get((section, key), default) != default
    ]


def limit_settings(text):
    """host/config.c's table: keys of the section of limits."""
    return set(re.findall(r'\{ "Limits", "(\w+)"', text))
