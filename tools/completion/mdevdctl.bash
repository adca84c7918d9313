# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Completion of mdevdctl(1) for bash. Verbs and options are those that the program's help tells; UUIDs, parents and types
# are those in sysfs and the definitions. So mdevd is neither asked nor started, and nothing waits for it.

# Verbs, one a line. $1: the program
__mdevdctl_verbs() {
    local line begun=
    while IFS= read -r line; do
        if [[ $line == Verbs: ]]; then
            begun=1
        elif [[ $begun && $line =~ ^\ \ ([a-z-]+)\  ]]; then
            printf '%s\n' "${BASH_REMATCH[1]}"
        elif [[ $begun ]]; then
            break
        fi
    done < <("$1" help 2>/dev/null </dev/null)
}

# Options, one a line, with a "=" behind those that have a value. $1: the program, $2: a verb, or nothing
__mdevdctl_options() {
    local line value
    while IFS= read -r line; do
        [[ $line =~ ^\ \ ((-.),\ |\ \ \ \ )(--[a-z]+[a-z-]*)(\ \<)? ]] || continue
        value=${BASH_REMATCH[4]:+=}
        printf '%s\n' "${BASH_REMATCH[3]}$value"
        [[ ${BASH_REMATCH[2]} ]] && printf '%s\n' "${BASH_REMATCH[2]}$value"
    done < <("$1" help ${2:+"$2"} 2>/dev/null </dev/null)
}

# The names of the files that are there, among the paths given.
__mdevdctl_names() {
    local path
    for path; do
        [[ -e $path || -L $path ]] && printf '%s\n' "${path##*/}"
    done
}

# $1: the root, $2: the verb
__mdevdctl_uuids() {
    [[ $2 == start || $2 == undefine || $2 == modify ]] || __mdevdctl_names "$1"/sys/bus/mdev/devices/*
    [[ $2 == stop ]] || __mdevdctl_names "$1"/etc/mdevctl.d/*/*-*-*-*-*
}

# $1: the root
__mdevdctl_parents() {
    __mdevdctl_names "$1"/sys/class/mdev_bus/*
    local path
    for path in "$1"/etc/mdevctl.d/*/; do
        path=${path%/}
        [[ -d $path && ${path##*/} != scripts.d ]] && printf '%s\n' "${path##*/}"
    done
}

# $1: the root, $2: a parent, or nothing
__mdevdctl_types() {
    local parents=("$1"/sys/class/mdev_bus/*)
    [[ $2 ]] && parents=("$1/sys/class/mdev_bus/$2")
    local parent
    for parent in "${parents[@]}"; do
        __mdevdctl_names "$parent"/mdev_supported_types/*
    done
}

_mdevdctl() {
    local program=$1 line=${COMP_LINE:0:COMP_POINT} words cur prev= verb= parent= elsewhere= found= i
    local root=${MDEVCTL_ENV_ROOT%/}

    # Not bash's own words: it takes the colons of a parent's name for their ends.
    read -ra words <<<"$line"
    [[ $line == *[[:blank:]] ]] && words+=("")
    cur=${words[-1]}

    for ((i = 1; i < ${#words[@]} - 1; i++)); do
        case ${words[i]} in
        --root=*) root=${words[i]#*=} ;;
        --host=* | --machine=* | -H?* | -M?*) elsewhere=1 ;;
        --parent=*) parent=${words[i]#*=} ;;
        -*)
            prev=${words[i]}
            if __mdevdctl_options "$program" "$verb" | grep -qxF -- "$prev="; then
                ((++i < ${#words[@]} - 1)) || break
                case $prev in
                --root) root=${words[i]} ;;
                -H | --host | -M | --machine) elsewhere=1 ;;
                -p | --parent) parent=${words[i]} ;;
                esac
            fi
            prev=
            ;;
        *) [[ $verb ]] || verb=${words[i]} ;;
        esac
    done
    root=${root%/}
    if [[ $cur == --*=* ]]; then
        prev=${cur%%=*} cur=${cur#*=}
    fi

    COMPREPLY=()
    if [[ $prev ]]; then
        case $prev in
        -u | --uuid) [[ $elsewhere ]] || found=$(__mdevdctl_uuids "$root" "$verb") ;;
        -p | --parent) [[ $elsewhere ]] || found=$(__mdevdctl_parents "$root") ;;
        -t | --type) [[ $elsewhere ]] || found=$(__mdevdctl_types "$root" "$parent") ;;
        --state) found=$'absent\nactive\ncreating\ndefined\norphaned\nremoving' ;;
        -M | --machine) found=$(__mdevdctl_names /run/systemd/machines/[!.u]*) ;;
        -H | --host) found=$(compgen -A hostname) ;;
        --jsonfile) found=$(compgen -f -- "$cur") ;;
        --root) found=$(compgen -d -- "$cur") ;;
        esac
    elif [[ $cur == -* ]]; then
        found=$(__mdevdctl_options "$program" "$verb")
        found=${found//=/}
    else
        case $verb in
        "" | help) found=$(__mdevdctl_verbs "$program") ;;
        start | stop | show | wait) [[ $elsewhere ]] || found=$(__mdevdctl_uuids "$root" "$verb") ;;
        start-parent-mdevs) [[ $elsewhere ]] || found=$(__mdevdctl_parents "$root") ;;
        esac
    fi

    mapfile -t COMPREPLY < <(IFS=$'\n' && compgen -W "$found" -- "$cur" | sort -u)

    # What bash takes for ends of words it has kept already.
    local kept=${cur%"${cur##*[:=]}"}
    [[ $COMP_WORDBREAKS == *:* && $kept == *: ]] || kept=
    for i in "${!COMPREPLY[@]}"; do
        COMPREPLY[i]=${COMPREPLY[i]#"$kept"}
    done
}

complete -F _mdevdctl mdevdctl
