#include "bench/step_inputs.h"

#include "engine/backend.h"
#include "engine/ops.h"
#include "engine/philox.h"

namespace cytograd::bench {

StepInputs::StepInputs(const StepConfiguration& configuration, bool raw) : configuration_(configuration) {
  const StepConfiguration& c = configuration_;
  const Shape shape{c.batch, c.size, c.size, c.model.channels};
  Philox philox(1);
  std::vector<float> values(static_cast<size_t>(shape.elements()));
  for (float& value : values) value = philox.normal();
  x_ = backend(Device::cpu).cast(Tensor::from(values, shape), c.dtype).to(c.device);
  std::vector<int64_t> classes(static_cast<size_t>(c.batch));
  for (size_t i = 0; i < classes.size(); ++i) classes[i] = static_cast<int64_t>(i) % c.model.classes;
  labels_ = Tensor::from(classes, {c.batch}).to(c.device);
  if (!raw) return;
  images_ = std::make_unique<RawImages>(RawImages::Options{.side = c.size + c.size / 8,
                                                           .channels = c.model.channels,
                                                           .classes = c.model.classes,
                                                           .at_least = 4 * c.batch});
}

std::vector<Phase> StepInputs::phases() {
  if (!images_) return {};
  const auto preprocess = [this] {
    preprocess_into(x_, uploaded_, batch_.views, preprocessing());
    labels_.copy_from(batch_.labels);
  };
  return {{"load", [this] { load(); }}, {"preprocess", preprocess}};
}

std::unique_ptr<Loader> StepInputs::loader(int64_t batches) {
  LoaderOptions options;
  options.batch = configuration_.batch;
  options.crop = configuration_.size;
  options.shuffle = true;
  options.augmentation = Augmentation{.mirror = true, .quarter_turns = true};
  options.device = configuration_.device;
  return images_->load(batches * options.batch, options, next_epoch_++);
}

PreprocessOptions StepInputs::preprocessing() const {
  return {
      .crop_height = configuration_.size, .crop_width = configuration_.size, .dtype = configuration_.dtype};
}

void StepInputs::load() {
  batch_ = *loader(1)->next();
  uploaded_ = backend(configuration_.device).upload(batch_.images);
}

}  // namespace cytograd::bench
