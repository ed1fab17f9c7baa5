// What no op takes: an undefined tensor, tensors of several devices, no elements, numbers out of range.
#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <string>

#include "engine/backend.h"
#include "engine/check.h"
#include "engine/ops.h"
#include "tests/support/devices.h"

namespace cytograd {
namespace {

/// An op by itself on arguments, and such as it takes.
struct Op {
  std::function<void(const std::vector<Tensor>&)> run;
  std::vector<Tensor> arguments;
  size_t optional = 0;  ///< so many of the last may be undefined
};

BatchnormParameters batchnorm_parameters(const std::vector<Tensor>& a) { return {a[1], a[2], a[3], a[4]}; }

std::map<std::string, Op> ops() {
  const Tensor image = Tensor::zeros({2, 4, 4, 3}), rows = Tensor::zeros({2, 3}),
               channels = Tensor::zeros({3});
  const std::vector<View> views(2);
  return {
      {"add", {[](const auto& a) { add(a[0], a[1]); }, {rows, rows}}},
      {"relu", {[](const auto& a) { relu(a[0]); }, {rows}}},
      {"cast", {[](const auto& a) { cast(a[0], DType::bf16); }, {rows}}},
      {"dropout", {[](const auto& a) { dropout(a[0], {.probability = 0.5f}); }, {rows}}},
      {"conv2d", {[](const auto& a) { conv2d(a[0], a[1], {}); }, {image, Tensor::zeros({5, 3, 3, 3})}}},
      {"linear",
       {[](const auto& a) { linear(a[0], a[1], a[2]); }, {rows, Tensor::zeros({5, 3}), Tensor::zeros({5})}}},
      {"max_pool2d", {[](const auto& a) { max_pool2d(a[0], {.window = 2, .stride = 2}); }, {image}}},
      {"global_avg_pool", {[](const auto& a) { global_avg_pool(a[0]); }, {image}}},
      {"softmax", {[](const auto& a) { softmax(a[0]); }, {rows}}},
      {"softmax_cross_entropy",
       {[](const auto& a) { softmax_cross_entropy(a[0], a[1], a[2], {}); },
        {rows, Tensor::zeros({2}, DType::i64), channels},
        1}},
      {"batchnorm_act",
       {[](const auto& a) { batchnorm_act(a[0], batchnorm_parameters(a), a[5], {}); },
        {image, channels, channels, channels, channels, image},
        1}},
      {"batchnorm_act_eval",
       {[](const auto& a) { batchnorm_act_eval(a[0], batchnorm_parameters(a), a[5], {}); },
        {image, channels, channels, channels, channels, image},
        1}},
      {"preprocess",
       {[=](const auto& a) {
          preprocess(a[0], views, {.fusion = Fusion::linear, .linear_weight = a[1], .linear_bias = a[2]});
        },
        {Tensor::zeros({2, 4, 4, 3}, DType::u8), Tensor::zeros({2, 3}), Tensor::zeros({2})}}},
      {"channel_sums",
       {[](const auto& a) {
          Tensor sums = a[1];
          channel_sums(a[0], sums);
        },
        {Tensor::zeros({2, 3}, DType::u8), Tensor::zeros({4, 3}, DType::i64)}}},
  };
}

TEST(OpArguments, AreDefined) {
  for (const auto& [name, op] : ops()) {
    EXPECT_NO_THROW(op.run(op.arguments)) << name;
    for (size_t i = 0; i < op.arguments.size(); ++i) {
      auto arguments = op.arguments;
      arguments[i] = Tensor();
      if (i + op.optional < op.arguments.size()) {
        EXPECT_THROW(op.run(arguments), CheckError) << name << ' ' << i;
      } else {
        EXPECT_NO_THROW(op.run(arguments)) << name << ' ' << i;
      }
    }
  }
}

TEST(OpArguments, AreOnOneDevice) {
  if (!why_no_cuda().empty()) GTEST_SKIP() << why_no_cuda();
  for (const auto& [name, op] : ops()) {
    auto on_cuda = op.arguments;
    for (Tensor& x : on_cuda) x = x.to(Device::cuda);
    EXPECT_NO_THROW(op.run(on_cuda)) << name;
    if (op.arguments.size() == 1) continue;
    for (size_t i = 0; i < op.arguments.size(); ++i) {
      auto mixed = op.arguments;
      mixed[i] = on_cuda[i];
      EXPECT_THROW(op.run(mixed), CheckError) << name << ' ' << i;
      mixed = on_cuda;
      mixed[i] = op.arguments[i];
      EXPECT_THROW(op.run(mixed), CheckError) << name << ' ' << i;
    }
  }
}

TEST(OpArguments, HaveElements) {
  const Tensor one = Tensor::zeros({1}), none = Tensor::zeros({0});
  EXPECT_THROW(linear(Tensor::zeros({0, 3}), Tensor::zeros({1, 3}), one), CheckError);
  EXPECT_THROW(linear(Tensor::zeros({2, 0}), Tensor::zeros({1, 0}), one), CheckError);
  EXPECT_THROW(linear(Tensor::zeros({2, 3}), Tensor::zeros({0, 3}), none), CheckError);
}

TEST(OpArguments, AreOfTheirType) {
  const Tensor x = Tensor::zeros({2, 3}, DType::bf16), w = Tensor::zeros({1, 3}, DType::bf16);
  EXPECT_NO_THROW(linear(x, w, Tensor::zeros({1})));
  EXPECT_THROW(linear(x, w, Tensor::zeros({1}, DType::bf16)), CheckError);
}

TEST(OpArguments, StayWithinTheirRange) {
  const int64_t most = std::numeric_limits<int64_t>::max();
  const Tensor x = Tensor::zeros({1, 4, 4, 2}), w = Tensor::zeros({1, 3, 3, 2});
  for (const int64_t large : {most, int64_t{1} << 62, int64_t{1} << 32}) {
    EXPECT_THROW(conv2d(x, w, {.stride = large}), CheckError) << large;
    EXPECT_THROW(conv2d(x, w, {.padding = large}), CheckError) << large;
    EXPECT_THROW(max_pool2d(x, {.stride = large}), CheckError) << large;
    EXPECT_THROW(max_pool2d(x, {.padding = large}), CheckError) << large;
    const std::vector<View> low{{.top = large}}, right{{.left = large}};
    for (const auto& views : {low, right}) {
      EXPECT_THROW(
          preprocess(Tensor::zeros({1, 4, 4, 2}, DType::u8), views, {.crop_height = 2, .crop_width = 2}),
          CheckError)
          << large;
    }
  }
}

TEST(OpArguments, HaveChannels) {
  const Tensor none = Tensor::zeros({0}), x = Tensor::zeros({4, 0});
  const BatchnormParameters parameters{none, none, none, none};
  EXPECT_THROW(batchnorm_act(x, parameters, {}, {}), CheckError);
  EXPECT_THROW(batchnorm_act_eval(x, parameters, {}, {}), CheckError);
}

}  // namespace
}  // namespace cytograd
