// SPDX-License-Identifier: BSD-2-Clause
/* bench/cpu - floating point: scalar double, SSE, AVX2 with FMA, x87 */
#include <immintrin.h>
#include <string.h>

#include "cpu.h"

static uint64_t bits_of(double v)
{
	uint64_t b;

	memcpy(&b, &v, 8);
	return b;
}

/* ------------------------------------------------------------- five bodies and gravity */
struct body {
	double x[3], v[3], mass;
};

static void step(struct body *b, double dt)
{
	double d[3], r2, f;
	int i, j, k;

	for (i = 0; i < 5; i++)
		for (j = i + 1; j < 5; j++) {
			for (r2 = 0, k = 0; k < 3; k++) {
				d[k] = b[i].x[k] - b[j].x[k];
				r2 += d[k] * d[k];
			}
			f = dt / (r2 * __builtin_sqrt(r2));
			for (k = 0; k < 3; k++) {
				b[i].v[k] -= d[k] * b[j].mass * f;
				b[j].v[k] += d[k] * b[i].mass * f;
			}
		}
	for (i = 0; i < 5; i++)
		for (k = 0; k < 3; k++)
			b[i].x[k] += dt * b[i].v[k];
}

static uint64_t nbody_run(void)
{
	struct body b[5];
	uint64_t s = 19, d = 0;
	int i, k;

	for (i = 0; i < 5; i++) {
		for (k = 0; k < 3; k++) {
			b[i].x[k] = (double)(rnd(&s) >> 40) / 65536;
			b[i].v[k] = (double)(rnd(&s) >> 40) / 16777216;
		}
		b[i].mass = 1 + i;
	}
	KEEP(b);
	for (i = 0; i < 64; i++)
		step(b, 0.01);
	for (i = 0; i < 5; i++)
		d = mix(d, bits_of(b[i].x[0]) ^ bits_of(b[i].v[1]));
	return d;
}

/* ----------------------------------------------------------- float matrices, 64 x 64 */
#define N 64
static float ma[N][N] __attribute__((aligned(64))), mb[N][N] __attribute__((aligned(64))),
	mc[N][N] __attribute__((aligned(64)));

static bool mat_setup(void)
{
	uint64_t s = 23;
	int i, j;

	/* Small integers: sums are exact, so every order of additions gives the same */
	for (i = 0; i < N; i++)
		for (j = 0; j < N; j++) {
			ma[i][j] = (float)(int)(rnd(&s) >> 60) - 8;
			mb[i][j] = (float)(int)(rnd(&s) >> 60) - 8;
		}
	return true;
}

static bool avx_setup(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && mat_setup();
}

static uint64_t mat_digest(void)
{
	uint64_t d = 0, v;
	int i;

	KEEP(mc);
	for (i = 0; i < N; i++) {
		memcpy(&v, &mc[i][(i * 7 & (N - 1)) & ~1], 8);
		d = mix(d, v);
	}
	return d;
}

static uint64_t sse_run(void)
{
	int i, j, k;

	for (i = 0; i < N; i++)
		for (j = 0; j < N; j += 8) {
			__m128 s0 = _mm_setzero_ps(), s1 = s0, a;

			for (k = 0; k < N; k++) {
				a = _mm_set1_ps(ma[i][k]);
				s0 = _mm_add_ps(s0, _mm_mul_ps(a, _mm_load_ps(&mb[k][j])));
				s1 = _mm_add_ps(s1, _mm_mul_ps(a, _mm_load_ps(&mb[k][j + 4])));
			}
			_mm_store_ps(&mc[i][j], s0);
			_mm_store_ps(&mc[i][j + 4], s1);
		}
	return mat_digest();
}

__attribute__((target("avx2,fma"))) static void avx_product(void)
{
	int i, j, k;

	for (i = 0; i < N; i++)
		for (j = 0; j < N; j += 16) {
			__m256 s0 = _mm256_setzero_ps(), s1 = s0, a;

			for (k = 0; k < N; k++) {
				a = _mm256_set1_ps(ma[i][k]);
				s0 = _mm256_fmadd_ps(a, _mm256_load_ps(&mb[k][j]), s0);
				s1 = _mm256_fmadd_ps(a, _mm256_load_ps(&mb[k][j + 8]), s1);
			}
			_mm256_store_ps(&mc[i][j], s0);
			_mm256_store_ps(&mc[i][j + 8], s1);
		}
}

static uint64_t avx_run(void)
{
	avx_product();
	return mat_digest();
}

/* --------------------------------------------------------- long double, so x87 code */
static uint64_t x87_run(void)
{
	long double x = 0.5L, sum = 0;
	int i;

	for (i = 1; i <= 512; i++) {
		x = (x * 3.75L) * (1 - x);
		sum += __builtin_sqrtl(x + i) / (1 + x * x);
		KEEP(&sum);
	}
	return bits_of((double)sum);
}

/* ------------------------------------------------------------------- Mandelbrot set */
static uint64_t mandel_run(void)
{
	uint64_t total = 0;
	int px, py, n;

	for (py = 0; py < 32; py++)
		for (px = 0; px < 32; px++) {
			double cr = px / 12.8 - 2, ci = py / 12.8 - 1.25, r = 0, i = 0, r2, i2;

			for (n = 0; n < 100; n++) {
				r2 = r * r;
				i2 = i * i;
				if (r2 + i2 > 4)
					break;
				i = 2 * r * i + ci;
				r = r2 - i2 + cr;
			}
			total += n;
		}
	return total;
}

static const struct work works[] = {
	{ "nbody-double", "step", 64, 0x356bc97f97909d9bull, NULL, nbody_run },
	{ "mandelbrot", "iteration", 30871, 30871, NULL, mandel_run },
	{ "matmul-sse", "64x64 product", 1, 0xefa0defb751b1500ull, mat_setup, sse_run },
	{ "matmul-avx2", "64x64 product", 1, 0xefa0defb751b1500ull, avx_setup, avx_run },
	{ "x87", "iteration", 512, 0x40b53555214c672dull, NULL, x87_run },
};
GROUP(fp, works);
