// What the tape promises, with ops made here whose rules can be watched.
#include "engine/autograd.h"

#include <gtest/gtest.h>

#include "engine/backend.h"
#include "engine/ops.h"

namespace cytograd {
namespace {

Variable leaf(std::vector<float> values) {
  const Shape shape{static_cast<int64_t>(values.size())};
  return Variable::leaf(Tensor::from(values, shape));
}

/// A scalar op of the only elements of `inputs`: y = sum of factors * inputs. Tells `seen` what was needed.
Variable combine(const std::vector<Variable>& inputs, const std::vector<float>& factors,
                 std::vector<bool>* seen = nullptr) {
  float y = 0.0f;
  for (size_t i = 0; i < inputs.size(); ++i) y += factors[i] * inputs[i].value().item();
  return record("combine", Tensor::full({1}, y), inputs,
                [factors, seen](const Tensor& dy, std::span<const bool> needed) {
                  if (seen != nullptr) seen->assign(needed.begin(), needed.end());
                  std::vector<Tensor> gradients(factors.size());
                  for (size_t i = 0; i < factors.size(); ++i)
                    if (needed[i]) gradients[i] = Tensor::full({1}, factors[i] * dy.item());
                  return gradients;
                });
}

std::vector<float> backward(Tape& tape, const Variable& loss, const std::vector<Variable>& wrt,
                            float scale = 1.0f) {
  std::vector<float> values;
  for (const Tensor& gradient : tape.backward(loss, wrt, Tensor::full({}, scale)))
    values.push_back(gradient.item());
  return values;
}

TEST(Tape, FollowsTheChainRule) {
  Tape tape;
  const Variable a = leaf({3});
  const Variable b = leaf({5});
  const Variable y = combine({combine({a, b}, {2, 3}), b}, {7, 11});
  EXPECT_EQ(y.value().item(), 7 * (2 * 3 + 3 * 5) + 11 * 5);
  EXPECT_EQ(backward(tape, y, {a, b}), (std::vector<float>{14, 21 + 11}));
}

TEST(Tape, ShowsWhatItRecordsAndDifferentiates) {
  std::vector<std::string> seen;
  const Variable a = leaf({3}), constant = Tensor::full({1}, 5);
  const auto recorded = [&](std::string_view op, const Tensor& y, std::span<const Variable> inputs) {
    seen.push_back(fmt::format("{} {}", op, y.item()));
    for (const Variable& x : inputs) seen.push_back(x.requires_grad() ? "variable" : "constant");
  };
  const auto differentiated = [&](size_t index) { seen.push_back(fmt::format("gradients of {}", index)); };
  Tape tape({recorded, differentiated});
  combine({constant}, {2});  // needs no gradient: it is not recorded
  const Variable y = combine({a, constant}, {2, 3});
  combine({a}, {4});  // what y does not depend on
  const Variable z = combine({y}, {5});
  backward(tape, z, {a});
  EXPECT_EQ(seen, (std::vector<std::string>{"combine 21", "variable", "constant", "combine 12", "variable",
                                            "combine 105", "variable", "gradients of 2", "gradients of 0"}));
}

TEST(Tape, SumsWhereAVariableIsUsedAgain) {
  Tape tape;
  const Variable a = leaf({1});
  const Variable m = combine({a}, {2});
  const Variable y = combine({m, m, a}, {3, 5, 7});
  EXPECT_EQ(backward(tape, y, {a}), (std::vector<float>{2 * (3 + 5) + 7}));
}

// add hands the same dy to both sides: summing into it would change the other's gradient.
TEST(Tape, SumsWithoutWritingToSharedGradients) {
  Tape tape;
  const Variable a = leaf({1, 2});
  const Variable b = leaf({3, 4});
  const Variable sum = add(a, b);
  const Variable y = add(sum, a);
  const Variable loss =
      record("first", Tensor::full({}, y.value().to_vector<float>()[0]), {y},
             [](const Tensor& dy, std::span<const bool>) {
               return std::vector<Tensor>{Tensor::from(std::vector<float>{dy.item(), 0}, {2})};
             });
  const auto gradients = tape.backward(loss, std::vector<Variable>{a, b});
  EXPECT_EQ(gradients[0].to_vector<float>(), (std::vector<float>{2, 0}));
  EXPECT_EQ(gradients[1].to_vector<float>(), (std::vector<float>{1, 0}));
}

// Of three uses, the last to be differentiated, the first use, comes by itself.
TEST(Tape, LeavesTheLastSumToARuleThatAdds) {
  for (const size_t uses : {1, 2, 3}) {
    Tape tape;
    const Variable a = leaf({1});
    std::vector<float> seen;
    const Variable y = record("adds", Tensor::full({1}, 1.0f), {a},
                              [&](const Tensor& dy, const Tensor& more, std::span<const bool>) {
                                seen = {dy.item(), more.defined() ? more.item() : 0.0f};
                                return std::vector<Tensor>{Tensor::full({1}, seen[0] + seen[1])};
                              });
    const std::vector<float> factors{3, 5, 7};
    std::vector<Variable> used;
    for (size_t i = 0; i < uses; ++i) used.push_back(combine({y}, {factors[i]}));
    const Variable loss = combine(used, std::vector<float>(uses, 1.0f));
    const std::vector<float> gradient = backward(tape, loss, {a});
    const std::vector<std::vector<float>> expected{{3, 0}, {5, 3}, {12, 3}};
    EXPECT_EQ(seen, expected[uses - 1]);
    EXPECT_EQ(gradient, (std::vector<float>{seen[0] + seen[1]}));
  }
}

// A leaf's last sum is left to nobody.
TEST(Tape, SumsALeafUsedOften) {
  Tape tape;
  const Variable a = leaf({1});
  const Variable y = combine({combine({a}, {2}), combine({a}, {3}), a}, {1, 1, 5});
  EXPECT_EQ(backward(tape, y, {a, a}), (std::vector<float>{10, 10}));
}

TEST(Tape, AsksOnlyForNeededGradients) {
  Tape tape;
  std::vector<bool> needed;
  const Variable a = leaf({1});
  const Variable constant(Tensor::full({1}, 2.0f));
  const Variable y = combine({constant, a, constant}, {2, 3, 4}, &needed);
  EXPECT_EQ(backward(tape, y, {a}), (std::vector<float>{3}));
  EXPECT_EQ(needed, (std::vector<bool>{false, true, false}));
}

TEST(Tape, DoesNotRecordWhatDependsOnConstants) {
  Tape tape;
  const Variable constant(Tensor::full({1}, 2.0f));
  EXPECT_FALSE(combine({constant}, {2}).requires_grad());
  EXPECT_TRUE(combine({constant, leaf({1})}, {2, 3}).requires_grad());
}

TEST(Tape, GivesZerosForWhatTheLossDoesNotDependOn) {
  Tape tape;
  std::vector<bool> needed;
  const Variable a = leaf({1});
  const Variable other = Variable::leaf(Tensor::full({2, 3}, 1.0f, DType::bf16));
  const Variable aside = leaf({4});
  combine({aside}, {5}, &needed);  // recorded, but no part of the loss
  const Variable y = combine({a}, {2});
  const auto gradients = tape.backward(y, std::vector<Variable>{other, a, aside});
  EXPECT_EQ(gradients[0].shape(), Shape({2, 3}));
  EXPECT_EQ(gradients[0].dtype(), DType::bf16);
  EXPECT_EQ(static_cast<float>(gradients[0].to_vector<bf16>()[5]), 0.0f);
  EXPECT_EQ(gradients[1].item(), 2.0f);
  EXPECT_EQ(gradients[2].item(), 0.0f);
  EXPECT_TRUE(needed.empty()) << "its rule ran";
}

TEST(Tape, GivesTheSameLeafAsOftenAsAsked) {
  Tape tape;
  const Variable a = leaf({1});
  EXPECT_EQ(backward(tape, combine({a}, {2}), {a, a}), (std::vector<float>{2, 2}));
}

TEST(Tape, ScalesTheLoss) {
  Tape tape;
  const Variable a = leaf({1});
  EXPECT_EQ(backward(tape, combine({a}, {2}), {a}, 1024.0f), (std::vector<float>{2048}));
}

TEST(Tape, IsConsumedByBackward) {
  Tape tape;
  const Variable a = leaf({1});
  const Variable y = combine({a}, {2});
  EXPECT_EQ(backward(tape, y, {a}), (std::vector<float>{2}));
  EXPECT_THROW(backward(tape, y, {a}), CheckError) << "the node is gone";
  EXPECT_EQ(backward(tape, combine({a}, {3}), {a}), (std::vector<float>{3})) << "and the tape records on";
}

TEST(Tape, RefusesALossThatIsNoRecordedScalar) {
  Tape tape;
  const Variable a = leaf({1, 2});
  EXPECT_THROW(tape.backward(add(a, a), std::vector<Variable>{a}), CheckError);
  EXPECT_THROW(tape.backward(Variable(Tensor::full({}, 1.0f)), std::vector<Variable>{a}), CheckError);
}

TEST(Tape, RefusesALossOfAnotherTape) {
  Tape other;
  const Variable a = leaf({1});
  const Variable y = combine({a}, {2});
  Tape tape;
  EXPECT_THROW(backward(tape, y, {a}), CheckError);
  EXPECT_THROW(backward(tape, a, {a}), CheckError) << "nor is a leaf recorded";
  EXPECT_EQ(backward(other, y, {a}), (std::vector<float>{2}));
}

TEST(Tape, DifferentiatesByResultsToo) {
  Tape tape;
  const Variable a = leaf({1});
  const Variable b = combine({a}, {2});
  const Variable c = add(b, b);
  const Variable y = combine({c, b}, {3, 5});
  EXPECT_EQ(backward(tape, y, {c, y, b, a}), (std::vector<float>{3, 1, 11, 22}));
}

TEST(Tape, RefusesToDifferentiateByAConstant) {
  Tape tape;
  const Variable a = leaf({1}), y = combine({a}, {2});
  EXPECT_THROW(tape.backward(y, std::vector<Variable>{a, Tensor::full({1}, 1.0f)}), CheckError);
  EXPECT_EQ(backward(tape, y, {a}), std::vector<float>{2}) << "and consumes nothing";
}

TEST(Tape, RefusesALossThatIsNotF32) {
  Tape tape;
  const Variable a = Variable::leaf(Tensor::full({1}, 1.0f, DType::bf16)), y = relu(a);
  EXPECT_THROW(tape.backward(y, std::vector<Variable>{a}), CheckError);
  EXPECT_EQ(tape.backward(cast(y, DType::f32), std::vector<Variable>{a}).front().dtype(), DType::bf16);
}

TEST(Tape, RefusesARuleThatForgetsAGradient) {
  const Variable a = leaf({1});
  const auto with_rule = [&](std::vector<Tensor> gradients) {
    return record("bad", Tensor::full({1}, 1.0f), {a},
                  [gradients](const Tensor&, std::span<const bool>) { return gradients; });
  };
  Tape tape;
  EXPECT_THROW(tape.backward(with_rule({}), std::vector<Variable>{a}), CheckError);
  Tape second;
  EXPECT_THROW(second.backward(with_rule({Tensor()}), std::vector<Variable>{a}), CheckError);
}

TEST(Tape, InnermostRecords) {
  const Variable a = leaf({1});
  Tape outer;
  const Variable y = combine({a}, {2});
  {
    Tape inner;
    const Variable z = combine({a}, {3});
    EXPECT_EQ(backward(outer, y, {a}), (std::vector<float>{2}));
    EXPECT_EQ(backward(inner, z, {a}), (std::vector<float>{3}));
  }
  EXPECT_EQ(backward(outer, combine({a}, {5}), {a}), (std::vector<float>{5}));
}

TEST(Tape, WithoutOneNothingIsRecorded) { EXPECT_FALSE(combine({leaf({1})}, {2}).requires_grad()); }

TEST(NoGrad, SuspendsRecordingForItsScope) {
  Tape tape;
  const Variable a = leaf({1});
  {
    const NoGrad no_grad;
    EXPECT_FALSE(combine({a}, {2}).requires_grad());
    {
      const NoGrad nested;
      EXPECT_FALSE(combine({a}, {2}).requires_grad());
    }
    EXPECT_FALSE(combine({a}, {2}).requires_grad());
  }
  EXPECT_TRUE(combine({a}, {2}).requires_grad());
}

TEST(NoGrad, HoldsDuringBackward) {
  Tape tape;
  const Variable a = leaf({1});
  const Variable y =
      record("nested", Tensor::full({1}, 1.0f), {a}, [a](const Tensor&, std::span<const bool>) {
        EXPECT_FALSE(combine({a}, {2}).requires_grad());
        return std::vector<Tensor>{Tensor::full({1}, 1.0f)};
      });
  EXPECT_EQ(backward(tape, y, {a}), (std::vector<float>{1}));
}

// A chain of ops that each save a megabyte: when a rule runs, what later ones saved is free again.
TEST(Memory, SavedTensorsAreFreedAsBackwardGoes) {
  constexpr int kNodes = 8;
  constexpr size_t kMegabyte = size_t{1} << 20;
  BufferPool& pool = backend(Device::cpu).pool();
  Tape tape;
  const Variable a = leaf({1});
  Variable y = a;
  const size_t before = pool.statistics().bytes_in_use;
  std::vector<size_t> in_use;
  for (int i = 0; i < kNodes; ++i) {
    const Tensor saved = Tensor::zeros({kMegabyte}, DType::u8);
    y = record("save", Tensor::full({1}, 1.0f), {y},
               [saved, &in_use, &pool](const Tensor&, std::span<const bool>) {
                 in_use.push_back(pool.statistics().bytes_in_use);
                 return std::vector<Tensor>{Tensor::full({1}, 1.0f)};
               });
  }
  EXPECT_GE(pool.statistics().bytes_in_use, before + kNodes * kMegabyte);
  tape.backward(y, std::vector<Variable>{a});
  ASSERT_EQ(in_use.size(), static_cast<size_t>(kNodes));
  for (size_t i = 1; i < in_use.size(); ++i) EXPECT_LE(in_use[i] + kMegabyte, in_use[i - 1] + 4096) << i;
  EXPECT_LT(pool.statistics().bytes_in_use, before + kMegabyte);
}

TEST(Memory, NothingIsSavedWithoutATape) {
  const size_t before = backend(Device::cpu).pool().statistics().bytes_in_use;
  const Variable a = leaf({1});
  Variable y = a;
  for (int i = 0; i < 4; ++i) {
    const Tensor saved = Tensor::zeros({1 << 20}, DType::u8);
    y = record("save", Tensor::full({1}, 1.0f), {y},
               [saved](const Tensor&, std::span<const bool>) { return std::vector<Tensor>{saved}; });
  }
  EXPECT_LT(backend(Device::cpu).pool().statistics().bytes_in_use, before + (1 << 20));
}

}  // namespace
}  // namespace cytograd
