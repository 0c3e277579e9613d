"""Algebra as rows: what an instruction may be rewritten to, whatever its operands hold.

A row reads ``name: left -> right``. On the left stand operands by name, the same name twice meaning the same value;
``#k``, a constant bound to k as unsigned bits of its type; an integer, a constant that is that number modulo two to
the width; and ``(opcode ...)``, the instruction that defines the operand. On the right the like, with
``{expression}`` for a constant. A last ``if`` is a condition in Python over the names bound and

``B``, ``MASK``, ``MIN``   width of the instruction's type T, all ones and the sign bit of it
``cc``, ``cc1``            conditions of the instruction and of the first comparison that defines an operand of it
``bits(x)``                width of a value's type
``power(k)``               is k a power of two above 1?
``SWAP``, ``INVERT``       a condition with its operands exchanged; its opposite

A comparison on the right is ``icmp[expression]``. Alternatives of the left root are separated by ``|``, and then
``_`` is that opcode on the right.

Invariants: the right side has no more instructions than the left has; it is never a left side again in a
way that goes on for ever; what can trap is only rewritten if its operands show that it can't.
"""

from __future__ import annotations

from typing import Final

RULES: Final = """
add_zero:                iadd x, 0 -> x
add_constants:           iadd (iadd x, #j), #k -> iadd x, {j + k}
add_negated:             iadd x, (ineg y) -> isub x, y
add_to_difference:       iadd (isub x, y), y -> x
add_complement:          iadd x, (bnot x) -> {MASK}
sub_zero:                isub x, 0 -> x
sub_itself:              isub x, x -> {0}
sub_constant:            isub x, #k -> iadd x, {-k} if k
sub_from_zero:           isub 0, x -> ineg x
sub_from_ones:           isub -1, x -> bnot x
sub_negated:             isub x, (ineg y) -> iadd x, y
sub_of_sum:              isub (iadd x, y), y -> x
sub_difference:          isub x, (isub x, y) -> y
neg_neg:                 ineg (ineg x) -> x
neg_difference:          ineg (isub x, y) -> isub y, x
neg_complement:          ineg (bnot x) -> iadd x, {1}
mul_zero:                imul x, 0 -> {0}
mul_one:                 imul x, 1 -> x
mul_minus_one:           imul x, -1 -> ineg x
mul_power:               imul x, #k -> ishl x, {k.bit_length() - 1} if power(k)
mul_constants:           imul (imul x, #j), #k -> imul x, {j * k}
mul_negated:             imul (ineg x), (ineg y) -> imul x, y
mulhi_zero:              umulhi|smulhi x, 0 -> {0}
umulhi_one:              umulhi x, 1 -> {0}
div_one:                 udiv|sdiv x, 1 -> x
rem_one:                 urem|srem x, 1 -> {0}
udiv_power:              udiv x, #k -> ushr x, {k.bit_length() - 1} if power(k)
urem_power:              urem x, #k -> band x, {k - 1} if power(k)
and_zero:                band x, 0 -> {0}
and_ones:                band x, -1 -> x
and_itself:              band x, x -> x
and_complement:          band x, (bnot x) -> {0}
and_constants:           band (band x, #j), #k -> band x, {j & k}
and_absorbs:             band x, (bor x, y) -> x
and_again:               band x, (band x, y) -> band x, y
and_of_complements:      band (bnot x), (bnot y) -> bnot (bor x, y)
or_zero:                 bor x, 0 -> x
or_ones:                 bor x, -1 -> {MASK}
or_itself:               bor x, x -> x
or_complement:           bor x, (bnot x) -> {MASK}
or_constants:            bor (bor x, #j), #k -> bor x, {j | k}
or_absorbs:              bor x, (band x, y) -> x
or_again:                bor x, (bor x, y) -> bor x, y
or_of_complements:       bor (bnot x), (bnot y) -> bnot (band x, y)
xor_zero:                bxor x, 0 -> x
xor_ones:                bxor x, -1 -> bnot x
xor_itself:              bxor x, x -> {0}
xor_complement:          bxor x, (bnot x) -> {MASK}
xor_constants:           bxor (bxor x, #j), #k -> bxor x, {j ^ k}
xor_again:               bxor x, (bxor x, y) -> y
xor_of_complements:      bxor (bnot x), (bnot y) -> bxor x, y
not_not:                 bnot (bnot x) -> x
not_neg:                 bnot (ineg x) -> iadd x, {-1}
shift_by_none:           ishl|ushr|sshr|rotl|rotr x, #k -> x if k % B == 0
shift_of_zero:           ishl|ushr|sshr|rotl|rotr 0, y -> {0}
shift_of_ones:           sshr|rotl|rotr -1, y -> {MASK}
shift_amount_masked:     ishl|ushr|sshr|rotl|rotr x, (band y, #k) -> _ x, y if k & B - 1 == B - 1
shl_shl:                 ishl (ishl x, #j), #k -> ishl x, {j % B + k % B} if j % B + k % B < B
shl_shl_out:             ishl (ishl x, #j), #k -> {0} if j % B + k % B >= B
ushr_ushr:               ushr (ushr x, #j), #k -> ushr x, {j % B + k % B} if j % B + k % B < B
ushr_ushr_out:           ushr (ushr x, #j), #k -> {0} if j % B + k % B >= B
sshr_sshr:               sshr (sshr x, #j), #k -> sshr x, {min(j % B + k % B, B - 1)}
shl_of_ushr:             ishl (ushr x, #j), #k -> band x, {MASK << k % B} if j % B == k % B
ushr_of_shl:             ushr (ishl x, #j), #k -> band x, {MASK >> k % B} if j % B == k % B
rot_rot:                 rotl (rotl x, #j), #k -> rotl x, {(j + k) % B}
rotr_constant:           rotr x, #k -> rotl x, {B - k % B} if k % B
select_same:             select c, x, x -> x
select_true:             select #c, x, y -> x if c
select_false:            select 0, x, y -> y
select_one_zero:         select c, 1, 0 -> icmp['ne'] c, {0} if bits(c) == 8 == B
bitselect_same:          bitselect c, x, x -> x
bitselect_zero:          bitselect 0, x, y -> y
bitselect_ones:          bitselect -1, x, y -> x
bitselect_mask:          bitselect (bmask c), x, y -> select c, x, y
icmp_same:               icmp x, x -> {cc in ('eq', 'ule', 'uge', 'sle', 'sge')}
icmp_constant_left:      icmp #k, x -> icmp[SWAP[cc]] x, {k}
icmp_below_zero:         icmp x, 0 -> {cc == 'uge'} if cc in ('ult', 'uge')
icmp_not_above_zero:     icmp x, 0 -> icmp[{'ule': 'eq', 'ugt': 'ne'}[cc]] x, {0} if cc in ('ule', 'ugt')
icmp_above_ones:         icmp x, -1 -> {cc == 'ule'} if cc in ('ugt', 'ule')
icmp_not_below_ones:     icmp x, -1 -> icmp[{'uge': 'eq', 'ult': 'ne'}[cc]] x, {-1} if cc in ('uge', 'ult')
icmp_below_one:          icmp x, 1 -> icmp[{'ult': 'eq', 'uge': 'ne'}[cc]] x, {0} if cc in ('ult', 'uge')
icmp_of_difference:      icmp (isub x, y), 0 -> icmp[cc] x, y if cc in ('eq', 'ne')
icmp_of_xor:             icmp (bxor x, y), 0 -> icmp[cc] x, y if cc in ('eq', 'ne')
icmp_of_negation:        icmp (ineg x), 0 -> icmp[cc] x, {0} if cc in ('eq', 'ne')
icmp_negated:            icmp (icmp x, y), 0 -> icmp[INVERT[cc1]] x, y if cc == 'eq'
icmp_again:              icmp (icmp x, y), 0 -> icmp[cc1] x, y if cc == 'ne'
min_max_itself:          umin|umax|smin|smax x, x -> x
umin_zero:               umin x, 0 -> {0}
umin_ones:               umin x, -1 -> x
umax_zero:               umax x, 0 -> x
umax_ones:               umax x, -1 -> {MASK}
smin_least:              smin x, #k -> {k} if k == MIN
smin_most:               smin x, #k -> x if k == MIN - 1
smax_least:              smax x, #k -> x if k == MIN
smax_most:               smax x, #k -> {k} if k == MIN - 1
abs_neg:                 iabs (ineg x) -> iabs x
abs_abs:                 iabs (iabs x) -> iabs x
uextend_uextend:         uextend (uextend x) -> uextend x
sextend_sextend:         sextend (sextend x) -> sextend x
sextend_uextend:         sextend (uextend x) -> uextend x
ireduce_ireduce:         ireduce (ireduce x) -> ireduce x
ireduce_extend:          ireduce (uextend x) -> x if bits(x) == B
ireduce_sextend:         ireduce (sextend x) -> x if bits(x) == B
ireduce_wider:           ireduce (uextend x) -> ireduce x if bits(x) > B
ireduce_wider_signed:    ireduce (sextend x) -> ireduce x if bits(x) > B
ireduce_narrower:        ireduce (uextend x) -> uextend x if bits(x) < B
ireduce_narrower_signed: ireduce (sextend x) -> sextend x if bits(x) < B
bmask_bmask:             bmask (bmask x) -> bmask x
bmask_neg:               bmask (ineg x) -> bmask x
bmask_uextend:           bmask (uextend x) -> bmask x
bmask_sextend:           bmask (sextend x) -> bmask x
bswap_bswap:             bswap (bswap x) -> x
bitrev_bitrev:           bitrev (bitrev x) -> x
clz_bitrev:              clz (bitrev x) -> ctz x
ctz_bitrev:              ctz (bitrev x) -> clz x
popcnt_bitrev:           popcnt (bitrev x) -> popcnt x
popcnt_bswap:            popcnt (bswap x) -> popcnt x
popcnt_rotl:             popcnt (rotl x, y) -> popcnt x
popcnt_rotr:             popcnt (rotr x, y) -> popcnt x
"""

TRUTHS: Final = """
truth_of_nonzero:        icmp x, 0 -> x if cc == 'ne'
truth_of_uextend:        uextend x -> x
truth_of_sextend:        sextend x -> x
truth_of_mask:           bmask x -> x
truth_of_negation:       ineg x -> x
truth_of_reversal:       bitrev x -> x
truth_of_swap:           bswap x -> x
truth_of_popcnt:         popcnt x -> x
truth_of_rotation:       rotl|rotr x, y -> x
"""
"""What the operand of a ``select``, a ``brif``, a ``trapz`` or a ``trapnz`` may be instead: what is 0 just when it
is 0."""
