"""The error function, its complement and their inverses, which NumPy lacks.

The key insight: a rational approximation evaluated by arithmetic alone works at any float width and is smooth at that
width, so it can stand in a reference that is differentiated numerically. float32 is computed in double precision.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from grammar.op import Lanes

# W. J. Cody, "Rational Chebyshev approximations for the error function", Mathematics of Computation 23 (1969), in the
# coefficients of his CALERF. Highest power first.
_SMALL_TOP = (
    1.85777706184603153e-1,
    3.16112374387056560e0,
    1.13864154151050156e2,
    3.77485237685302021e2,
    3.20937758913846947e3,
)
_SMALL_BOTTOM = (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3)
_MIDDLE_TOP = (
    2.15311535474403846e-8,
    5.64188496988670089e-1,
    8.88314979438837594e0,
    6.61191906371416295e1,
    2.98635138197400131e2,
    8.81952221241769090e2,
    1.71204761263407058e3,
    2.05107837782607147e3,
    1.23033935479799725e3,
)
_MIDDLE_BOTTOM = (
    1.0,
    1.57449261107098347e1,
    1.17693950891312499e2,
    5.37181101862009858e2,
    1.62138957456669019e3,
    3.29079923573345963e3,
    4.36261909014324716e3,
    3.43936767414372164e3,
    1.23033935480374942e3,
)
_LARGE_TOP = (
    1.63153871373020978e-2,
    3.05326634961232344e-1,
    3.60344899949804439e-1,
    1.25781726111229246e-1,
    1.60837851487422766e-2,
    6.58749161529837803e-4,
)
_LARGE_BOTTOM = (
    1.0,
    2.56852019228982242e0,
    1.87295284992346047e0,
    5.27905102951428412e-1,
    6.05183413124413191e-2,
    2.33520497626869185e-3,
)
_INVERSE_SQRT_PI = 5.6418958354775628695e-1

# S. L. Moshier, Cephes Mathematical Library, `ndtri`, which Warp's own inverse is built on. Highest power first.
_CENTRE_TOP = (
    -5.99633501014107895267e1,
    9.80010754185999661536e1,
    -5.66762857469070293439e1,
    1.39312609387279679503e1,
    -1.23916583867381258016e0,
)
_CENTRE_BOTTOM = (
    1.0,
    1.95448858338141759834e0,
    4.67627912898881538453e0,
    8.63602421390890590575e1,
    -2.25462687854119370527e2,
    2.00260212380060660359e2,
    -8.20372256168333339912e1,
    1.59056225126211695515e1,
    -1.18331621121330003142e0,
)
_TAIL_TOP = (
    4.05544892305962419923e0,
    3.15251094599893866154e1,
    5.71628192246421288162e1,
    4.40805073893200834700e1,
    1.46849561928858024014e1,
    2.18663306850790267539e0,
    -1.40256079171354495875e-1,
    -3.50424626827848203418e-2,
    -8.57456785154685413611e-4,
)
_TAIL_BOTTOM = (
    1.0,
    1.57799883256466749731e1,
    4.53907635128879210584e1,
    4.13172038254672030440e1,
    1.50425385692907503408e1,
    2.50464946208309415979e0,
    -1.42182922854787788574e-1,
    -3.80806407691578277194e-2,
    -9.33259480895457427372e-4,
)
_FAR_TAIL_TOP = (
    3.23774891776946035970e0,
    6.91522889068984211695e0,
    3.93881025292474443415e0,
    1.33303460815807542389e0,
    2.01485389549179081538e-1,
    1.23716634817820021358e-2,
    3.01581553508235416007e-4,
    2.65806974686737550832e-6,
    6.23974539184983293730e-9,
)
_FAR_TAIL_BOTTOM = (
    1.0,
    6.02427039364742014255e0,
    3.67983563856160859403e0,
    1.37702099489081330271e0,
    2.16236993594496635890e-1,
    1.34204006088543189037e-2,
    3.28014464682127739104e-4,
    2.89247864745380683936e-6,
    6.79019408009981274425e-9,
)
_SQRT_2_PI = 2.50662827463100050242
_SQRT_2 = 1.41421356237309504880
_EXP_MINUS_2 = 0.13533528323661269189


def _ratio(x: Lanes, top: Sequence[float], bottom: Sequence[float]) -> Lanes:
    return _polynomial(x, top) / _polynomial(x, bottom)


def _polynomial(x: Lanes, coefficients: Sequence[float]) -> Lanes:
    first, second, *rest = coefficients
    value = x * first + second
    for coefficient in rest:
        value *= x
        value += coefficient
    return value


def _widened(x: Lanes) -> Lanes:
    return np.asarray(x).astype(np.result_type(x, np.float64), copy=False)


def _gaussian(y: Lanes) -> Lanes:
    """exp(-y²) without the rounding error of y²: the leading part of y is squared exactly."""
    leading = np.trunc(y * 16.0) / 16.0
    return np.exp(-leading * leading) * np.exp(-(y - leading) * (y + leading))


def _erf_small(x: Lanes) -> Lanes:
    return x * _ratio(x * x, _SMALL_TOP, _SMALL_BOTTOM)


def _erfc_middle(y: Lanes) -> Lanes:
    return _gaussian(y) * _ratio(y, _MIDDLE_TOP, _MIDDLE_BOTTOM)


def _erfc_large(y: Lanes) -> Lanes:
    inverse_square = 1.0 / (y * y)
    rest = inverse_square * _ratio(inverse_square, _LARGE_TOP, _LARGE_BOTTOM)
    return _gaussian(y) * ((_INVERSE_SQRT_PI - rest) / y)


def _erfc_positive(y: Lanes) -> Lanes:
    """erfc of y > 0.46875. Beyond 28 it is below the smallest double (and 107, below the smallest extended one)."""
    middle = _erfc_middle(np.minimum(y, 4.0))
    large = y > 4.0
    return np.where(large, _erfc_large(np.clip(y, 4.0, 120.0)), middle) if large.any() else middle


def erf(x: Lanes) -> Lanes:
    """The error function, within a few ulp at float32 and float64."""
    wide = _widened(x)
    size = np.abs(wide)
    tail = np.copysign(1.0 - _erfc_positive(np.maximum(size, 0.46875)), wide)
    return np.where(size <= 0.46875, _erf_small(wide), tail).astype(x.dtype)


def erfc(x: Lanes) -> Lanes:
    """1 - erf(x), without cancellation for large x."""
    wide = _widened(x)
    size = np.abs(wide)
    tail = _erfc_positive(np.maximum(size, 0.46875))
    tail = np.where(wide < 0, 2.0 - tail, tail)
    return np.where(size <= 0.46875, 1.0 - _erf_small(wide), tail).astype(x.dtype)


def erfinv(x: Lanes) -> Lanes:
    """The inverse of erf: infinite at ±1, NaN beyond; zero without a sign at ±0.

    Warp goes by way of (x + 1) / 2 in double precision, which costs all digits of a tiny `x`; so does this, but for
    variants of a value (which is what more than one axis means), as those tell the slope.
    """
    wide = _widened(x)
    p = (wide + 1.0) / 2.0
    return _inverse(wide, p, wide / 2.0 if x.ndim > 1 else p - 0.5).astype(x.dtype)


def erfcinv(x: Lanes) -> Lanes:
    """The inverse of erfc. Warp takes erfinv(1 - x), in double precision, so that erfcinv(1e-20) is infinite.

    As with erfinv, variants keep the digits that this costs a tiny `x`.
    """
    wide = _widened(x)
    if x.ndim > 1:
        return (0.0 - _inverse(wide - 1.0, wide / 2.0, (wide - 1.0) / 2.0)).astype(x.dtype)
    return erfinv(1.0 - wide).astype(x.dtype)


def _inverse(x: Lanes, p: Lanes, offset: Lanes) -> Lanes:
    """Of erf, at `x`, which is twice the `offset` of `p` from 0.5."""
    value = np.where(np.abs(x) > 1, np.nan, _normal_quantile(p, offset) / _SQRT_2)
    return np.where(x == 0, 0.0, value)


def _normal_quantile(p: Lanes, offset: Lanes) -> Lanes:
    """The argument at which the normal distribution function is `p`, that is `offset` + 0.5."""
    upper = p > 1.0 - _EXP_MINUS_2
    smaller = np.where(upper, 1.0 - p, p)
    square = offset * offset
    centre = _SQRT_2_PI * (offset + offset * (square * _ratio(square, _CENTRE_TOP, _CENTRE_BOTTOM)))
    tail = _lower_tail(smaller)
    value = np.where(smaller > _EXP_MINUS_2, centre, np.where(upper, tail, -tail))
    return np.where(p <= 0, -np.inf, np.where(p >= 1, np.inf, value))


def _lower_tail(p: Lanes) -> Lanes:
    """How far below the mean the normal quantile of a small `p` lies."""
    x = np.sqrt(-2.0 * np.log(p))
    inverse = 1.0 / x
    near = _ratio(inverse, _TAIL_TOP, _TAIL_BOTTOM)
    far = x >= 8.0
    scaled = np.where(far, _ratio(inverse, _FAR_TAIL_TOP, _FAR_TAIL_BOTTOM), near) if far.any() else near
    return np.asarray(x - np.log(x) / x - inverse * scaled)
