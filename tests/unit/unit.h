/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What every unit test includes first: cmocka, with the headers that it wants in front of it. */

#undef NDEBUG
#include <assert.h>
#include <errno.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/util.h"

#define assert_streq_ptr(a, b)                       \
        do {                                         \
                const char *_a = (a), *_b = (b);     \
                if (_a && _b)                        \
                        assert_string_equal(_a, _b); \
                else                                 \
                        assert_ptr_equal(_a, _b);    \
        } while (0)
