# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the guest needs to be told about an mdevd that was built with sanitizers."""

# Beside the guest's other results; for whoever has the system's or the cases' environment.
REPORTS = "reports"

# The daemon may not write there, and its workers have an environment of their own: what these report is in the journal, as
# the only lines that come from standard error. To look for leaks is to stop one's other threads, as a debugger does.
# Its file comes before that of run's --setenv.
SERVICE = """[Service]
Environment=ASAN_OPTIONS= UBSAN_OPTIONS=
SyslogLevel=err
SystemCallFilter=ptrace
"""

# gcc's two runtimes do not agree about where a report goes: what UBSan says comes to standard error whatever one asks for, so
# it ends the process by a signal, and ASan says where. ASan's path is the one that UBSan is given.
ENVIRONMENT = "ASAN_OPTIONS=log_path={path}:handle_abort=1 UBSAN_OPTIONS=log_path={path}:halt_on_error=1:abort_on_error=1"


def write_units(options, directory, out):
    """Add to the units in DIRECTORY what a build with these OPTIONS of meson's needs; OUT is where the guest sees that."""
    if "address" in options["b_sanitize"]:
        environment = ENVIRONMENT.format(path=out / REPORTS / "report")
        configuration = directory / "system.conf.d"
        configuration.mkdir()
        (configuration / "sanitized.conf").write_text(f"[Manager]\nDefaultEnvironment={environment}\n")
        (directory / "system/mdevd.service.d/0-sanitized.conf").write_text(SERVICE)
