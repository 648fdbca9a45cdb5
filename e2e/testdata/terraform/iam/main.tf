terraform {
  required_providers {
    aws = {
      source = "hashicorp/aws"
    }
  }
}

# Users, groups, roles, policies and what ties them together.

variable "team" {
  type    = string
  default = "payments"
}

variable "actions" {
  type    = list(string)
  default = ["kms:Decrypt"]
}

provider "aws" {
  region = "us-east-1"
}

data "aws_caller_identity" "me" {}

data "aws_iam_policy" "admin" {
  name = "AdministratorAccess"
}

data "aws_iam_policy_document" "use" {
  statement {
    sid       = "Use"
    actions   = var.actions
    resources = ["*"]
    condition {
      test     = "StringEquals"
      variable = "kms:EncryptionContext:team"
      values   = ["payments"]
    }
  }
}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole", "sts:TagSession"]
    principals {
      type        = "AWS"
      identifiers = [aws_iam_user.alice.arn]
    }
  }
}

resource "aws_iam_user" "alice" {
  name = "alice"
  path = "/people/"
  tags = {
    team = var.team
  }
}

resource "aws_iam_user" "bob" {
  name                 = "bob"
  permissions_boundary = aws_iam_policy.use.arn
}

resource "aws_iam_access_key" "alice" {
  user = aws_iam_user.alice.name
}

resource "aws_iam_account_password_policy" "strict" {
  minimum_password_length        = 14
  require_symbols                = true
  allow_users_to_change_password = true
  password_reuse_prevention      = 5
}

resource "aws_iam_user_login_profile" "bob" {
  user                    = aws_iam_user.bob.name
  password_reset_required = true
  depends_on              = [aws_iam_account_password_policy.strict]
}

resource "aws_iam_service_linked_role" "kms" {
  aws_service_name = "mrk.kms.amazonaws.com"
  description      = "Synchronizes multi-Region keys for ${var.team}"
  tags = {
    team = var.team
  }
}

resource "aws_iam_group" "team" {
  name = "team-${var.team}"
  path = "/teams/"
}

resource "aws_iam_group_membership" "team" {
  name  = "team"
  group = aws_iam_group.team.name
  users = [aws_iam_user.alice.name, aws_iam_user.bob.name]
}

resource "aws_iam_policy" "use" {
  name        = "use-keys"
  description = "Use keys"
  policy      = data.aws_iam_policy_document.use.json
  tags = {
    team = var.team
  }
}

resource "aws_iam_group_policy_attachment" "use" {
  group      = aws_iam_group.team.name
  policy_arn = aws_iam_policy.use.arn
}

resource "aws_iam_user_policy" "inline" {
  name   = "inline"
  user   = aws_iam_user.bob.name
  policy = data.aws_iam_policy_document.use.json
}

resource "aws_iam_group_policy" "inline" {
  name   = "inline"
  group  = aws_iam_group.team.name
  policy = data.aws_iam_policy_document.use.json
}

resource "aws_iam_user_policy_attachment" "admin" {
  user       = aws_iam_user.bob.name
  policy_arn = data.aws_iam_policy.admin.arn
}

resource "aws_iam_role" "worker" {
  name                 = "worker"
  description          = "Works for ${var.team}"
  max_session_duration = 7200
  assume_role_policy   = data.aws_iam_policy_document.trust.json
  tags = {
    team = var.team
  }
}

resource "aws_iam_role_policy" "inline" {
  name   = "inline"
  role   = aws_iam_role.worker.id
  policy = data.aws_iam_policy_document.use.json
}

resource "aws_iam_role_policy_attachment" "use" {
  role       = aws_iam_role.worker.name
  policy_arn = aws_iam_policy.use.arn
}

resource "aws_iam_instance_profile" "worker" {
  name = "worker"
  path = "/machines/"
  role = aws_iam_role.worker.name
  tags = {
    team = var.team
  }
}

resource "aws_iam_saml_provider" "corp" {
  name                   = "corp"
  saml_metadata_document = file("${path.module}/metadata.xml")
  tags = {
    team = var.team
  }
}

output "access_key" {
  value = aws_iam_access_key.alice.id
}

output "secret_key" {
  value     = aws_iam_access_key.alice.secret
  sensitive = true
}

output "role" {
  value = aws_iam_role.worker.arn
}

# What each resource is imported by.
output "ids" {
  value = {
    "aws_iam_user.alice"                   = aws_iam_user.alice.name
    "aws_iam_user.bob"                     = aws_iam_user.bob.name
    "aws_iam_group.team"                   = aws_iam_group.team.name
    "aws_iam_policy.use"                   = aws_iam_policy.use.arn
    "aws_iam_group_policy_attachment.use"  = "${aws_iam_group.team.name}/${aws_iam_policy.use.arn}"
    "aws_iam_user_policy.inline"           = aws_iam_user_policy.inline.id
    "aws_iam_group_policy.inline"          = aws_iam_group_policy.inline.id
    "aws_iam_user_policy_attachment.admin" = "${aws_iam_user.bob.name}/${data.aws_iam_policy.admin.arn}"
    "aws_iam_role.worker"                  = aws_iam_role.worker.name
    "aws_iam_role_policy.inline"           = aws_iam_role_policy.inline.id
    "aws_iam_role_policy_attachment.use"   = "${aws_iam_role.worker.name}/${aws_iam_policy.use.arn}"
    "aws_iam_instance_profile.worker"      = aws_iam_instance_profile.worker.name
    "aws_iam_saml_provider.corp"           = aws_iam_saml_provider.corp.arn
    "aws_iam_service_linked_role.kms"      = aws_iam_service_linked_role.kms.arn

    "aws_iam_account_password_policy.strict" = "iam-account-password-policy"
  }
}
