// Convolution by Winograd's transforms against plain loops in f64.
#include <gtest/gtest.h>

#include "engine/ops/conv2d_winograd_cpu.h"
#include "tests/support/values.h"

namespace cytograd::test {
namespace {

struct Problem {
  Shape x, w;
  int64_t padding;
};

// Odd and even sizes, so that the last tiles are whole and broken; every padding there may be; one pixel; more tiles than
// are transformed at a time (of 16 + 2,048 channels 128); as many input as output channels, fewer, more.
const Problem kProblems[] = {{{2, 8, 6, 16}, {32, 3, 3, 16}, 1},    {{1, 7, 9, 32}, {16, 3, 3, 32}, 1},
                             {{3, 5, 4, 16}, {16, 3, 3, 16}, 0},    {{2, 3, 5, 16}, {48, 3, 3, 16}, 2},
                             {{1, 1, 1, 16}, {16, 3, 3, 16}, 1},    {{1, 3, 3, 16}, {16, 3, 3, 16}, 0},
                             {{3, 14, 14, 16}, {2048, 3, 3, 16}, 1}};

struct Results {
  std::vector<double> y, dx, dw;
};

Results by_loops(const Problem& p, const std::vector<double>& x, const std::vector<double>& w,
                 const std::vector<double>& dy, const Shape& y_shape) {
  const int64_t in = p.x[3], out = p.w[0];
  Results results{std::vector<double>(dy.size()), std::vector<double>(x.size()),
                  std::vector<double>(w.size())};
  for (int64_t n = 0; n < p.x[0]; ++n) {
    for (int64_t i = 0; i < y_shape[1]; ++i) {
      for (int64_t j = 0; j < y_shape[2]; ++j) {
        for (int64_t u = 0; u < 3; ++u) {
          for (int64_t v = 0; v < 3; ++v) {
            const int64_t row = i + u - p.padding, column = j + v - p.padding;
            if (row < 0 || row >= p.x[1] || column < 0 || column >= p.x[2]) continue;
            const int64_t from = ((n * p.x[1] + row) * p.x[2] + column) * in;
            const int64_t to = ((n * y_shape[1] + i) * y_shape[2] + j) * out;
            for (int64_t o = 0; o < out; ++o) {
              const double* tap = w.data() + ((o * 3 + u) * 3 + v) * in;
              double* gradient = results.dw.data() + ((o * 3 + u) * 3 + v) * in;
              const double g = dy[to + o];
              double sum = 0.0;
              for (int64_t c = 0; c < in; ++c) {
                sum += x[from + c] * tap[c];
                results.dx[from + c] += g * tap[c];
                gradient[c] += g * x[from + c];
              }
              results.y[to + o] += sum;
            }
          }
        }
      }
    }
  }
  return results;
}

TEST(Conv2dWinograd, AgreesWithPlainLoops) {
  for (const Problem& p : kProblems) {
    SCOPED_TRACE(fmt::format("x {}, w {}, padding {}", p.x, p.w, p.padding));
    const Conv2dOptions options{.stride = 1, .padding = p.padding};
    const Shape y_shape{p.x[0], options.output_extent(p.x[1], 3), options.output_extent(p.x[2], 3), p.w[0]};
    const Tensor x = normal(p.x, 1), w = normal(p.w, 2), dy = normal(y_shape, 3);
    const Results expected = by_loops(p, values_of(x), values_of(w), values_of(dy), y_shape);
    for (const int threads : {1, 3}) {
      const Threads limited(threads);
      EXPECT_LE(greatest_error(values_of(conv2d_winograd::forward(x, w, options)), expected.y), 2e-6);
      EXPECT_LE(greatest_error(values_of(conv2d_winograd::backward_input(dy, w, p.x, options)), expected.dx),
                2e-6);
      EXPECT_LE(greatest_error(values_of(conv2d_winograd::backward_weight(dy, x, p.w, options)), expected.dw),
                2e-6);
    }
  }
}

TEST(Conv2dWinograd, HasTheSameBitsOnAnyNumberOfThreads) {
  const Conv2dOptions options{.stride = 1, .padding = 1};
  const Tensor x = normal({4, 33, 31, 64}, 1), w = normal({64, 3, 3, 64}, 2), dy = normal({4, 33, 31, 64}, 3);
  std::vector<std::vector<double>> first;
  for (const int threads : {1, 2, 3}) {
    const Threads limited(threads);
    const std::vector<std::vector<double>> now{
        values_of(conv2d_winograd::forward(x, w, options)),
        values_of(conv2d_winograd::backward_input(dy, w, x.shape(), options)),
        values_of(conv2d_winograd::backward_weight(dy, x, w.shape(), options))};
    if (first.empty()) first = now;
    EXPECT_EQ(now, first) << threads;
  }
}

TEST(Conv2dWinograd, IsForLargeWindowsOfThreeByOnes) {
  EXPECT_TRUE(conv2d_winograd::preferred({16, 14, 14, 256}, {256, 3, 3, 256}, {.stride = 1, .padding = 1}));
  EXPECT_FALSE(conv2d_winograd::preferred({16, 14, 14, 256}, {256, 3, 3, 256}, {.stride = 2, .padding = 1}));
  EXPECT_FALSE(conv2d_winograd::preferred({16, 14, 14, 256}, {256, 1, 1, 256}, {.stride = 1, .padding = 0}));
  EXPECT_FALSE(conv2d_winograd::preferred({16, 14, 14, 68}, {64, 3, 3, 68}, {.stride = 1, .padding = 1}));
  EXPECT_FALSE(conv2d_winograd::preferred({1, 14, 14, 64}, {64, 3, 3, 64}, {.stride = 1, .padding = 1}));
}

}  // namespace
}  // namespace cytograd::test
