# SPDX-License-Identifier: LGPL-2.1-or-later

"""The operations on files that are cut off, or that the disk lets down."""

from trial import Play, State

A, B = "0000:3b:00.0", "0000:af:00.0"
SMALL = ("small", False, [])
LARGE = ("large", True, [("one", "1"), ("two", "x" * 3000)])

PLAYS = {
    "define": Play(State({}), State({A: LARGE}),
                   lambda mdevd, uuid: mdevd.begin_define(A, "large", uuid, LARGE[2], autostart=True)),
    "define-again": Play(State({A: SMALL}), State({A: SMALL, B: LARGE}),
                         lambda mdevd, uuid: mdevd.begin_define(B, "large", uuid, LARGE[2], autostart=True,
                                                                alternate=True)),
    "modify": Play(State({A: SMALL}), State({A: LARGE}),
                   lambda mdevd, uuid: mdevd.begin_modify(uuid, A, type="large", autostart=True,
                                                          attributes=("a(ss)", LARGE[2]))),
    "undefine": Play(State({A: LARGE}), State({}),
                     lambda mdevd, uuid: mdevd.begin_undefine(uuid)),
    "undefine-two": Play(State({A: LARGE, B: SMALL}), State({}),
                         lambda mdevd, uuid: mdevd.begin_undefine(uuid)),
}


class Rescan(Play):
    """It changes nothing, but what it reads decides what is believed to be there."""

    def subject(self, uuid):
        return ""


RESCAN = Rescan(State({A: SMALL, B: LARGE}), State({A: SMALL, B: LARGE}),
                lambda mdevd, _: mdevd.begin_manager("Rescan"))
