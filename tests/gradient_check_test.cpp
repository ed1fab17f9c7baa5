// Every op of the table: the gradient rule is the derivative of the forward pass.
#include "tests/gradient_check.h"

#include <gtest/gtest.h>

#include "tests/op_cases.h"

namespace cytograd::test {
namespace {

class GradientCheck : public testing::TestWithParam<OpCase> {};

TEST_P(GradientCheck, GradientIsTheDerivative) {
  const OpCase& op_case = GetParam();
  const std::vector<Variable> inputs = make_inputs(op_case, {});
  const GradientCheckResult result =
      check_gradients([&](std::span<const Variable> in) { return op_case.run(in).y; }, inputs,
                      {.step = op_case.step, .seed = op_case.name});
  EXPECT_LE(result.worst, op_case.gradient_tolerance) << "d" << op_case.inputs[result.input].name;
  EXPECT_FALSE(result.kink_crossed) << "the case's inputs lie too near a kink for its step";
}

std::vector<OpCase> checked_cases() {
  std::vector<OpCase> cases;
  std::copy_if(op_cases().begin(), op_cases().end(), std::back_inserter(cases), [](const OpCase& c) {
    return c.differentiable && !c.realistic && c.gradient_tolerance > 0.0;
  });
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Table, GradientCheck, testing::ValuesIn(checked_cases()),
                         [](const auto& each) { return test_name(each.param); });

// What the check is worth: a right rule passes, and rules that are nearly right do not.
class PlantedRule : public testing::Test {
 protected:
  using Rule = std::function<std::vector<float>(const std::vector<float>& x, const std::vector<float>& dy)>;

  /// The check's error for y = x^3, elementwise, with a gradient rule.
  static double error_of(const Rule& rule) {
    const std::string seed = "planted";
    const Shape shape{10, 100};
    const std::vector<float> x = draw_values({.name = "x", .shape = shape}, seed);
    const std::vector<Variable> inputs{Variable::leaf(Tensor::from(x, shape))};
    const auto cube = [&](std::span<const Variable> in) {
      const std::vector<float> values = values_of(in[0].value());
      std::vector<float> y(values.size());
      std::transform(values.begin(), values.end(), y.begin(), [](float v) { return v * v * v; });
      return record("cube", Tensor::from(y, shape), {in[0]},
                    [rule, values, shape](const Tensor& dy, std::span<const bool>) {
                      return std::vector<Tensor>{Tensor::from(rule(values, values_of(dy)), shape)};
                    });
    };
    return check_gradients(cube, inputs, {.seed = seed}).worst;
  }

  static std::vector<float> right(const std::vector<float>& x, const std::vector<float>& dy) {
    std::vector<float> dx(x.size());
    for (size_t i = 0; i < x.size(); ++i) dx[i] = 3.0f * x[i] * x[i] * dy[i];
    return dx;
  }

  // The table's default.
  const double tolerance_ = OpCase{}.gradient_tolerance;
};

TEST_F(PlantedRule, RightPasses) { EXPECT_LE(error_of(right), tolerance_); }

TEST_F(PlantedRule, OffByOneInAThousandFails) {
  EXPECT_GT(error_of([](const auto& x, const auto& dy) {
              std::vector<float> dx = right(x, dy);
              for (float& v : dx) v *= 1.001f;
              return dx;
            }),
            tolerance_);
}

TEST_F(PlantedRule, OneWrongElementOfAThousandFails) {
  EXPECT_GT(error_of([](const auto& x, const auto& dy) {
              std::vector<float> dx = right(x, dy);
              dx.back() += 0.5f;  // elements are of 0.8, as root of the mean square
              return dx;
            }),
            tolerance_);
}

TEST_F(PlantedRule, ForgottenDyFails) {
  EXPECT_GT(error_of([](const auto& x, const auto&) { return right(x, std::vector<float>(x.size(), 1.0f)); }),
            tolerance_);
}

TEST_F(PlantedRule, ZeroFails) {
  EXPECT_GT(error_of([](const auto& x, const auto&) { return std::vector<float>(x.size()); }), tolerance_);
}

TEST_F(PlantedRule, NaNFails) {
  EXPECT_GT(error_of([](const auto& x, const auto&) { return std::vector<float>(x.size(), NAN); }),
            tolerance_);
}

// A batch norm whose rule takes the batch's statistics for constants: the classical mistake.
TEST(PlantedBatchnorm, ConstantStatisticsFail) {
  const std::string seed = "planted batch norm";
  const Shape shape{40, 3};
  const std::vector<Variable> inputs{
      Variable::leaf(Tensor::from(draw_values({.name = "x", .shape = shape}, seed), shape))};
  const auto norm = [&](std::span<const Variable> in) {
    const BatchnormParameters parameters{Tensor::full({3}, 1.0f), Tensor::zeros({3}), Tensor::zeros({3}),
                                         Tensor::full({3}, 1.0f)};
    const Tensor y = batchnorm_act(in[0].value(), parameters, {}, {}).value();
    return record("batchnorm_act", y, {in[0]}, [](const Tensor& dy, std::span<const bool>) {
      std::vector<float> dx = values_of(dy);
      for (float& v : dx) v *= 1.7f;  // inv_std of uniform values in [-1, 1), nearly
      return std::vector<Tensor>{Tensor::from(dx, dy.shape())};
    });
  };
  EXPECT_GT(check_gradients(norm, inputs, {.seed = seed}).worst, OpCase{}.gradient_tolerance);
}

}  // namespace
}  // namespace cytograd::test
