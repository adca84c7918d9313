# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the guest needs to be told about an mdevd that was built with sanitizers, or so that it counts what it does."""

# Beside the guest's other results; for whoever has the system's or the cases' environment.
REPORTS = "reports"

# The daemon may not write there, and its workers have an environment of their own: what these report is in the journal, as
# the only lines that come from standard error. To look for leaks is to stop one's other threads, as a debugger does.
SERVICE = """[Service]
UnsetEnvironment=ASAN_OPTIONS UBSAN_OPTIONS
SyslogLevel=err
SystemCallFilter=ptrace
"""


# gcc's two runtimes do not agree about where a report goes: what UBSan says comes to standard error whatever one asks for, so
# it ends the process by a signal, and ASan says where. ASan's path is the one that UBSan is given.
ENVIRONMENT = "ASAN_OPTIONS=log_path={path}:handle_abort=1 UBSAN_OPTIONS=log_path={path}:halt_on_error=1:abort_on_error=1"

# A program that counts has compiled in where it does so: in the build directory, in whose place is memory, outside the
# sandbox and inside of it (guest/collect takes it out). Users other than root have no place, and need not complain of it.
COUNTING_ENVIRONMENT = "GCOV_ERROR_FILE=/dev/null"
COUNTING_CASES = """[Service]
ExecStartPre=
ExecStartPre=mkdir -p /run/mdevd-test/gcda {build}
ExecStartPre=mount --bind /run/mdevd-test/gcda {build}
ExecStartPre=/run/mdevd-test/source/tests/vm/guest/load-driver
"""
COUNTING_SERVICE = """[Service]
ProtectHome=tmpfs
BindPaths=/run/mdevd-test/gcda:{build}
"""


def write_units(build, options, directory, out):
    """Add to the units in DIRECTORY what a BUILD with these OPTIONS of meson's needs; OUT is where the guest sees that."""
    environment = []
    if "address" in options["b_sanitize"]:
        environment += [ENVIRONMENT.format(path=out / REPORTS / "report")]
        (directory / "system/mdevd.service.d/sanitized.conf").write_text(SERVICE)
    if options["b_coverage"]:
        environment += [COUNTING_ENVIRONMENT]
        (directory / "system/mdevd-test.service.d/counting.conf").write_text(COUNTING_CASES.format(build=build))
        (directory / "system/mdevd.service.d/counting.conf").write_text(COUNTING_SERVICE.format(build=build))
    if environment:
        configuration = directory / "system.conf.d"
        configuration.mkdir()
        (configuration / "instrumented.conf").write_text(f"[Manager]\nDefaultEnvironment={' '.join(environment)}\n")
