// Whether two runs of training left the same bits.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <string>

#include "engine/safetensors.h"
#include "tests/support/temp_dir.h"
#include "tools/run_folder.h"

namespace cytograd::test {

/// Metrics without what depends on the clock.
inline std::string lasting(const std::string& text) {
  std::vector<EpochMetrics> rows = parse_metrics(text, "metrics");
  for (EpochMetrics& row : rows) row.images_per_second = row.stall_seconds = row.stall_seconds_per_step = 0.0;
  return format_metrics(rows);
}

inline void expect_same_tensors(const std::filesystem::path& file, const std::filesystem::path& other) {
  SafetensorsFile a = read_safetensors(file);
  SafetensorsFile b = read_safetensors(other);
  ASSERT_EQ(a.tensors.size(), b.tensors.size());
  for (size_t i = 0; i < a.tensors.size(); ++i) {
    const Tensor& x = a.tensors[i].tensor;
    const Tensor& y = b.tensors[i].tensor;
    ASSERT_EQ(a.tensors[i].name, b.tensors[i].name);
    ASSERT_EQ(x.shape(), y.shape());
    EXPECT_EQ(std::memcmp(x.raw(), y.raw(), x.bytes()), 0) << file << " " << a.tensors[i].name;
  }
  for (SafetensorsFile* saved : {&a, &b}) {
    const auto metrics = saved->metadata.find("cytograd.metrics");
    if (metrics != saved->metadata.end()) metrics->second = lasting(metrics->second);
  }
  EXPECT_EQ(a.metadata, b.metadata);
}

inline void expect_same_run(const RunFolder& run, const RunFolder& other) {
  expect_same_tensors(run.best(), other.best());
  expect_same_tensors(run.last(), other.last());
  EXPECT_EQ(lasting(read_file(run.metrics())), lasting(read_file(other.metrics())));
  EXPECT_EQ(read_file(run.classes()), read_file(other.classes()));
}

}  // namespace cytograd::test
