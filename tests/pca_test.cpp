// Principal components: exact sums, scikit-learn's components, and pictures of them.
#include "data/pca.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "data/domains.h"
#include "data/pca_scopes.h"
#include "engine/check.h"
#include "engine/philox.h"
#include "tests/support/paths.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_data.h"

namespace cytograd::test {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using Json = nlohmann::json;

StoredImage stored(int64_t height, int64_t width, int64_t channels, const std::vector<uint8_t>& pixels) {
  const auto owner = std::make_shared<std::vector<uint8_t>>(pixels);
  return {height, width, channels, std::shared_ptr<const uint8_t[]>(owner, owner->data())};
}

/// Correlated noise.
StoredImage noise(int64_t pixels, int64_t channels, uint64_t seed) {
  std::vector<uint8_t> values;
  Philox random(seed, 0, 0);
  for (int64_t p = 0; p < pixels; ++p) {
    const uint32_t shared = random.below(120);
    for (int64_t c = 0; c < channels; ++c)
      values.push_back(static_cast<uint8_t>(shared + random.below(20 + 15 * static_cast<uint32_t>(c))));
  }
  return stored(1, pixels, channels, values);
}

ChannelSums sums_of(const std::vector<StoredImage>& images) {
  ChannelSums sums(images.front().channels);
  for (const StoredImage& image : images) sums.add(image);
  return sums;
}

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

TEST(FitPca, FindsTheDirectionsOfASmallExample) {
  // Points (0,0), (2,1), (4,2), (6,3), (8,4) on a line: the second component has no variance.
  const Pca pca = fit_pca(sums_of({stored(1, 5, 2, {0, 0, 2, 1, 4, 2, 6, 3, 8, 4})}), 2);
  EXPECT_THAT(pca.mean, ElementsAre(4.0, 2.0));
  EXPECT_NEAR(pca.components[0][0], 2.0 / std::sqrt(5.0), 1e-15);
  EXPECT_NEAR(pca.components[0][1], 1.0 / std::sqrt(5.0), 1e-15);
  EXPECT_NEAR(pca.explained_variance[0], 12.5, 1e-13);  // 10 + 2.5, of 5 - 1
  EXPECT_NEAR(pca.explained_variance[1], 0.0, 1e-13);
  EXPECT_NEAR(pca.explained_variance_ratio[0], 1.0, 1e-15);
}

TEST(FitPca, ComponentsAreOrthonormalAndTheirLargestEntryIsPositive) {
  for (int64_t channels = 1; channels <= 8; ++channels) {
    const Pca pca = fit_pca(sums_of({noise(5000, channels, 3)}), 8);
    ASSERT_EQ(pca.count(), channels);
    for (size_t i = 0; i < pca.components.size(); ++i) {
      for (size_t j = 0; j < pca.components.size(); ++j)
        EXPECT_NEAR(dot(pca.components[i], pca.components[j]), i == j ? 1.0 : 0.0, 1e-14);
      const auto largest = std::max_element(pca.components[i].begin(), pca.components[i].end(),
                                            [](double a, double b) { return std::abs(a) < std::abs(b); });
      EXPECT_GT(*largest, 0.0);
      EXPECT_LE(pca.explained_variance[i], pca.explained_variance[i > 0 ? i - 1 : 0]);
    }
  }
}

TEST(FitPca, BrightImagesLoseNothingToCancellation) {
  // 254 or 255 everywhere: a variance of 1/4 beside squares of 65,000, which f32 sums would lose.
  std::vector<uint8_t> values;
  for (int i = 0; i < 200'000; ++i) values.push_back(static_cast<uint8_t>(254 + i / 2 % 2));
  ChannelSums sums(2);
  for (int i = 0; i < 100; ++i) sums.add(stored(100, 1000, 2, values));
  const double n = 1e7;
  EXPECT_DOUBLE_EQ(fit_pca(sums, 1).explained_variance[0], 2.0 * 0.25 * n / (n - 1.0));
}

TEST(FitPca, NeedsTwoPixels) {
  EXPECT_THAT(message_of<Error>([] {
                fit_pca(sums_of({stored(1, 1, 2, {1, 2})}), 1);
              }),
              HasSubstr("needs two pixels or more, and there is 1"));
  EXPECT_THAT(message_of<Error>([] { fit_pca(ChannelSums(3), 1); }), HasSubstr("there are 0"));
}

TEST(FitPca, ImagesOfOneValueHaveNoVariance) {
  const Pca pca = fit_pca(sums_of({stored(2, 2, 3, std::vector<uint8_t>(12, 7))}), 3);
  EXPECT_THAT(pca.explained_variance, Each(0.0));
  EXPECT_THAT(pca.explained_variance_ratio, Each(0.0));
  const Image image{2, 2, 3, std::vector<uint8_t>(12, 7)};
  EXPECT_THAT(pca_to_rgb(image, pca, percentile_ranges(pca, image.pixels)).pixels, Each(0));
}

// Promised: numpy's int64 sums exactly, scikit-learn's components within 1e-6 and its variances within 1e-9 of them.
TEST(FitPca, IsScikitLearnsOnRealSites) {
  CYTOGRAD_NEEDS_SAMPLES();
  std::ifstream file(test::golden_folder() / "pca.json");
  const Json scopes = Json::parse(file);
  ASSERT_THAT(scopes, SizeIs(5));
  for (const Json& scope : scopes) {
    SCOPED_TRACE(scope["name"]);
    ChannelSums sums(6);
    std::vector<uint8_t> first_pixels;
    for (const std::string site : scope["sites"]) {
      Sample sample;
      for (int c = 1; c <= 6; ++c)
        sample.files.push_back((samples_folder() / "rxrx1" / fmt::format("{}_w{}.png", site, c)).string());
      const StoredImage image = read_stored(sample);
      sums.add(image);
      if (first_pixels.empty()) first_pixels.assign(image.pixels.get(), image.pixels.get() + 6000);
    }
    EXPECT_EQ(sums.pixels(), scope["pixels"]);
    std::vector<int64_t> due = scope["sums"];
    for (const Json& row : scope["products"])
      for (const int64_t v : row) due.push_back(v);
    EXPECT_EQ(sums.values(), due);

    const Pca pca = fit_pca(sums, 6);
    for (size_t k = 0; k < 6; ++k) {
      const double variance = scope["explained_variance"][k];
      EXPECT_NEAR(pca.explained_variance[k], variance, 1e-9 * variance) << k;
      for (size_t c = 0; c < 6; ++c) EXPECT_NEAR(pca.components[k][c], scope["components"][k][c], 1e-6) << k;
    }
    const std::vector<ValueRange> ranges = percentile_ranges(pca, first_pixels);
    for (size_t k = 0; k < 3; ++k) {
      EXPECT_NEAR(ranges[k].low, scope["percentiles"][k][0], 1e-6);
      EXPECT_NEAR(ranges[k].high, scope["percentiles"][k][1], 1e-6);
    }
  }
}

TEST(PercentileRanges, AreInterpolatedAndNeverEmpty) {
  const Pca line{
      .mean = {0.0}, .components = {{1.0}}, .explained_variance = {1.0}, .explained_variance_ratio = {1.0}};
  std::vector<uint8_t> pixels(101);
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(2 * i);
  const auto range = percentile_ranges(line, pixels).at(0);  // at 0.5 and 99.5 of 100 steps
  EXPECT_NEAR(range.low, 1.0, 1e-12);
  EXPECT_NEAR(range.high, 199.0, 1e-12);
  const auto flat = percentile_ranges(line, std::vector<uint8_t>(5, 9)).at(0);
  EXPECT_LT(flat.low, flat.high);
  const std::vector<ValueRange> ranges{flat};
  EXPECT_THAT(pca_to_rgb({1, 1, 1, {9}}, line, ranges).pixels, Each(0));
}

// An image darkens downwards, and images get brighter: the first rows, or the first images, are not like the rest.
TEST(PercentileRanges, AreOfPixelsFromAllOfAnImage) {
  std::vector<uint8_t> pixels;
  for (int row = 0; row < 256; ++row) pixels.insert(pixels.end(), 1024, static_cast<uint8_t>(255 - row));
  const PcaFit fit = fit_pca_image(stored(256, 1024, 1, pixels), {.components = 1});
  ASSERT_EQ(fit.ranges.size(), 1U);
  EXPECT_NEAR(fit.ranges[0].high - fit.ranges[0].low, 253.0, 2.0);
}

TEST(PcaToRgb, StretchesEachComponentOverItsRange) {
  Pca pca{.mean = {10.0, 20.0},
          .components = {{0.6, 0.8}, {0.8, -0.6}},
          .explained_variance = {4.0, 1.0},
          .explained_variance_ratio = {0.8, 0.2}};
  const Image image{1, 3, 2, {10, 20, 20, 20, 0, 30}};
  // First component: 0, 6, 2; second: 0, 8, -14.
  const Image rgb = pca_to_rgb(image, pca, std::vector<ValueRange>{{-6.0, 6.0}, {0.0, 16.0}});
  EXPECT_THAT(rgb.pixels, ElementsAre(128, 0, 0, 255, 128, 0, 170, 0, 0));
  EXPECT_THAT(deviation_ranges(pca)[0].low, -6.0);
  EXPECT_THAT(deviation_ranges(pca)[1].high, 3.0);
}

TEST(PcaToRgb, ASingleComponentIsGrey) {
  const Pca pca{
      .mean = {10.0}, .components = {{1.0}}, .explained_variance = {1.0}, .explained_variance_ratio = {1.0}};
  const Image rgb = pca_to_rgb({1, 2, 1, {10, 12}}, pca, std::vector<ValueRange>{{0.0, 4.0}});
  EXPECT_THAT(rgb.pixels, ElementsAre(0, 0, 0, 128, 128, 128));
  EXPECT_THROW(pca_to_rgb({1, 1, 2, {1, 2}}, pca, std::vector<ValueRange>{{0.0, 4.0}}), CheckError);
}

/// Six images of three channels on two plates.
class PcaScopes : public ::testing::Test {
 protected:
  PcaScopes() {
    for (int i = 0; i < 6; ++i) {
      const StoredImage image = noise(400, 3, static_cast<uint64_t>(i));
      const std::string file = (dir / fmt::format("i{}.png", i)).string();
      write_png(file, {20, 20, 3, std::vector<uint8_t>(image.pixels.get(), image.pixels.get() + 1200)});
      dataset.samples.push_back({fmt::format("i{}", i), {file}, {"HUVEC-01", fmt::format("p{}", i % 2)}});
      samples.push_back(i);
    }
    dataset.columns = {"experiment", "experiment_plate"};
    dataset.group_column = "experiment";
  }

  std::map<std::string, PcaFit, NaturalLess> fit(const std::string& scope, int workers = 2) {
    ImageStore store(dataset, {});
    const PcaFits fits = fit_pca_scopes(store, samples, domain_keys(dataset, scope), {.workers = workers});
    unreadable = fits.unreadable;
    return fits.fits;
  }

  TempDir dir;
  Dataset dataset;
  std::vector<int64_t> samples;
  std::vector<UnreadableImage> unreadable;
};

TEST_F(PcaScopes, EachKeyHasTheSumsOfItsImages) {
  EXPECT_THAT(fit("dataset"), SizeIs(1));
  EXPECT_EQ(fit("dataset").at("dataset").sums.pixels(), 2400);
  EXPECT_THAT(fit("image"), SizeIs(6));
  EXPECT_THAT(fit("experiment"), SizeIs(1));
  EXPECT_THAT(fit("group"), SizeIs(1));
  const auto plates = fit("plate");
  EXPECT_EQ(plates.at("p0").sums.pixels(), 1200);
  std::vector<StoredImage> even;
  for (const int i : {0, 2, 4}) even.push_back(read_stored(dataset.samples[static_cast<size_t>(i)]));
  EXPECT_EQ(plates.at("p0").sums.values(), sums_of(even).values());
  EXPECT_THAT(plates.at("p0").ranges, SizeIs(3));
}

TEST_F(PcaScopes, DoNotDependOnThreads) {
  const PcaFile one{.scope = "plate", .fingerprint = "", .fits = fit("plate", 1)};
  for (const int workers : {2, 5}) {
    const PcaFile more{.scope = "plate", .fingerprint = "", .fits = fit("plate", workers)};
    EXPECT_EQ(format_pca(more), format_pca(one));
  }
}

TEST_F(PcaScopes, UnreadableImagesAreLeftOut) {
  dir.write("i2.png", "text");
  EXPECT_EQ(fit("dataset").at("dataset").sums.pixels(), 2000);
  ASSERT_THAT(unreadable, SizeIs(1));
  EXPECT_EQ(unreadable[0].sample, 2);
  EXPECT_THAT(fit("image"), SizeIs(5));
  ImageStore store(dataset, {});
  const PcaFits some = fit_pca_scopes(store, {1, 2, 4}, {"a", "a", "a"}, {});
  ASSERT_THAT(some.unreadable, SizeIs(1));
  EXPECT_EQ(some.unreadable[0].sample, 2);
}

// More images than pixels are taken of, each brighter than the last.
TEST_F(PcaScopes, PercentilesAreOfImagesFromAllOfAScope) {
  constexpr int64_t kCount = 200;
  static_assert(kCount > kRangeImages);
  dataset.samples.clear();
  samples.clear();
  for (int64_t i = 0; i < kCount; ++i) {
    const std::string file = (dir / fmt::format("b{}.png", i)).string();
    write_png(file, {1, 2, 1, std::vector<uint8_t>(2, static_cast<uint8_t>(i))});
    dataset.samples.push_back({fmt::format("b{}", i), {file}, {"HUVEC-01", "p0"}});
    samples.push_back(i);
  }
  const PcaFit all = fit("dataset").at("dataset");
  ASSERT_THAT(all.ranges, SizeIs(1));
  EXPECT_NEAR(all.ranges[0].low, -99.5, 4.0);
  EXPECT_NEAR(all.ranges[0].high, 99.5, 4.0);
}

// In a file two of them would become one.
TEST_F(PcaScopes, ANameThatIsNotUtf8IsRefused) {
  EXPECT_EQ(message_of<Error>([] { require_pca_keys({"p1", "caf\xC3\xA9"}, "data"); }), "");
  EXPECT_EQ(message_of<Error>([] {
              require_pca_keys({"p1", "caf\xE9"}, "data");
            }),
            "data: 'caf\xE9' is not UTF-8 text, as names in pca.json are; rename it");
}

TEST_F(PcaScopes, AColumnThatIsNotThereIsNamed) {
  dataset.columns = {"a", "b"};
  dataset.group_column = "";
  EXPECT_THAT(message_of<Error>([&] { domain_keys(dataset, "plate"); }), HasSubstr("no column 'plate'"));
  EXPECT_THAT(message_of<Error>([&] { domain_keys(dataset, "group"); }), HasSubstr("no groups"));
}

TEST_F(PcaScopes, AnImageOfNoPlateIsNamed) {
  for (const auto& [scope, column] : {std::pair{"experiment", "experiment"}, {"plate", "experiment_plate"}}) {
    Dataset with_blank = dataset;
    with_blank.samples[1].values[with_blank.require_column(column)] = "";
    const std::vector<std::string> keys = domain_keys(with_blank, scope);
    EXPECT_EQ(keys[1], "");
    EXPECT_THAT(message_of<Error>([&] {
                  number_keys(with_blank, scope, keys, {0, 1, 2});
                }),
                HasSubstr(fmt::format("1 of 3 images have no {}, such as {}; --where can choose", scope,
                                      dataset.samples[1].name)));
    EXPECT_THAT(number_keys(with_blank, scope, keys, {0, 2}), SizeIs(2)) << "none that is not asked for";
  }
  Dataset plates = dataset;
  plates.columns = {"experiment", "plate"};
  for (Sample& sample : plates.samples) sample.values = {"", "p1"};
  EXPECT_THAT(domain_keys(plates, "plate"), testing::Each(" p1")) << "an experiment may be unnamed";
  plates.samples[0].values = {"e", ""};
  EXPECT_EQ(domain_keys(plates, "plate")[0], "");
}

TEST_F(PcaScopes, ComeBackFromTheirFileAsTheyWere) {
  const PcaFile file{.scope = "plate", .fingerprint = "abc", .fits = fit("plate")};
  dir.write("pca.json", format_pca(file));
  const PcaFile back = read_pca(dir / "pca.json");
  EXPECT_EQ(format_pca(back), format_pca(file));
  EXPECT_EQ(back.fits.at("p1").pca.components, file.fits.at("p1").pca.components) << "the same bits";
}

TEST_F(PcaScopes, AFileThatIsNoneIsAnError) {
  const PcaFile file{.scope = "plate", .fingerprint = "", .fits = fit("plate")};
  const Json good = Json::parse(format_pca(file));
  const auto error = [&](const std::function<void(Json&)>& change) {
    Json json = good;
    change(json);
    dir.write("pca.json", json.dump());
    return message_of<Error>([&] { read_pca(dir / "pca.json"); });
  };
  EXPECT_EQ(error([](Json&) {}), "");
  const std::vector<std::function<void(Json&)>> changes{
      [](Json& j) { j["format"] = "x"; },
      [](Json& j) { j["fits"] = Json::object(); },
      [](Json& j) { j["fits"]["p0"].erase("mean"); },
      [](Json& j) {
        j["fits"]["p0"]["mean"] = {1, 2};
      },
      [](Json& j) {
        j["fits"]["p0"]["components"][1] = {1, 2, 3, 4};
      },
      [](Json& j) { j["fits"]["p0"]["components"][1][0] = nullptr; },
      [](Json& j) {
        j["fits"]["p0"]["products"].push_back({1, 2, 3});
      },
      [](Json& j) {
        j["fits"]["p0"]["ranges"][0] = {2, 1};
      },
      [](Json& j) { j["fits"]["p0"]["ranges"].erase(2); },
      [](Json& j) { j["fits"]["p0"]["sums"] = Json::array(); },
      [](Json& j) { j["fits"]["p0"]["sums"][1] = 1e99; },
      [](Json& j) { j["fits"]["p0"]["sums"][1] = 1.5; },
      [](Json& j) { j["fits"]["p0"]["products"][1][1] = UINT64_MAX; },
      [](Json& j) { j["fits"]["p0"]["pixels"] = -1; },
  };
  for (const auto& change : changes)
    EXPECT_THAT(error(change), HasSubstr("pca.json: holds no principal components"));
  dir.write("pca.json", "{\"a\": ");
  EXPECT_THAT(message_of<Error>([&] { read_pca(dir / "pca.json"); }), HasSubstr("is not JSON at byte"));
  EXPECT_THAT(message_of<Error>([&] { read_pca(dir / "absent.json"); }),
              HasSubstr("absent.json: no such file"));
}

}  // namespace
}  // namespace cytograd::test
